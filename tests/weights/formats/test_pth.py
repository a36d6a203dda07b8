"""What torch.save writes, read_pth reads, in both formats."""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.errors import WeightsError
from isotune.weights.formats.pth.read import read_pth

torch = pytest.importorskip("torch")

DTYPES = (
    "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()  # noqa: SIM905
)


@pytest.fixture(params=["zip", "legacy"])
def is_zip(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "zip")


def save(content: Any, path: Path, is_zip: bool, **options: Any) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=is_zip, **options)
    return path


def assert_reads(path: Path, expected: dict[str, Any]) -> None:
    found = read_pth(path)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        widened = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
        array = widened.numpy()
        assert found[name].dtype == array.dtype, name
        assert found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize("protocol", [2, 4])
def test_dtypes_shapes_and_layouts(tmp_path: Path, is_zip: bool, protocol: int) -> None:
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(4, 3, 5, 2, generator=generator) * 3
    state = {f"plain.{name}": base.to(getattr(torch, name)) for name in DTYPES}
    state |= {
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "one": torch.ones(1, 1, 1),
        "channels_last": base.contiguous(memory_format=torch.channels_last),
        "transposed": torch.arange(6, dtype=torch.int32).reshape(2, 3).T,
        "transposed.bfloat16": base.bfloat16().permute(3, 0, 2, 1),
        "step": torch.arange(20.0)[3::4],
        "slice": torch.arange(20.0)[5:9],
        "expanded": torch.arange(3.0)[:, None].expand(3, 4),
        "parameter": torch.nn.Parameter(base[0]),
    }
    assert_reads(save(state, tmp_path / "a.pth", is_zip, pickle_protocol=protocol), state)


def test_module_state_dict_with_shared_storages_and_attributes(
    tmp_path: Path, is_zip: bool
) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    model.tied = model[0]
    tagged = torch.nn.Parameter(torch.ones(2))
    tagged.no_decay = True  # type: ignore[attr-defined]
    state = OrderedDict(model.state_dict(keep_vars=True), tagged=tagged)
    state["view"] = model[0].weight.detach()[1:]
    assert_reads(save(state, tmp_path / "a.pth", is_zip), state)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "network"])
def test_looks_through_wrappers(tmp_path: Path, is_zip: bool, key: str) -> None:
    weight = torch.randn(2, 2)
    wrapped = {
        "epoch": 3,
        "best": np.float64(0.5),
        "args": argparse.Namespace(lr=0.1),
        key: {"fc.weight": weight, "fc.bias": torch.ones(2)},
        "optimizer": {"state": {0: {"step": 1, "exp": torch.ones(9)}}, "lrs": [0.1, (1, None)]},
    }
    path = save(wrapped, tmp_path / "a.pth", is_zip)
    assert_reads(path, {"fc.weight": weight, "fc.bias": torch.ones(2)})


def test_unsigned_types_and_files_without_checksums(tmp_path: Path) -> None:
    state = {"a": torch.tensor([1, 65535]).to(torch.uint16)}
    torch.serialization.set_crc32_options(False)
    try:
        path = save(state, tmp_path / "a.pth", True)
    finally:
        torch.serialization.set_crc32_options(True)
    assert_reads(path, state)


def test_big_endian(tmp_path: Path) -> None:
    state = {"a": torch.tensor([1.5, -2.0]), "b": torch.tensor([[1, 2], [3, 4]]).T}
    little = save(state, tmp_path / "little.pth", True)
    big = tmp_path / "big.pth"
    with zipfile.ZipFile(little) as source, zipfile.ZipFile(big, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("/byteorder"):
                content = b"big"
            elif "/data/" in name:
                width = "f4" if name.endswith("/0") else "i8"
                content = np.frombuffer(content, width).byteswap().tobytes()
            target.writestr(name, content)
    assert_reads(big, state)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "no state dict"),
        ({}, "empty"),
        ({"a": torch.ones(1), "epoch": 3}, "'epoch' is no tensor"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "torch.ComplexFloatStorage"),
        ({"a": torch._neg_view(torch.ones(2))}, "negated"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    ],
)
def test_what_is_no_state_dict_is_told(
    tmp_path: Path, is_zip: bool, content: Any, message: str
) -> None:
    path = save(content, tmp_path / "a.pth", is_zip)
    with pytest.raises(WeightsError, match=message) as error:
        read_pth(path)
    assert str(path) in str(error.value)


def test_works_without_torch(tmp_path: Path, is_zip: bool) -> None:
    path = save({"a": torch.arange(3.0)}, tmp_path / "a.pth", is_zip)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from isotune.weights.formats.read import read_weights\n"
        f"print(read_weights({str(path)!r})['a'].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[0.0, 1.0, 2.0]\n"

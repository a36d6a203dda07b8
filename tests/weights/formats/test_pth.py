"""What torch.save writes, read_pth reads, in both formats."""

from __future__ import annotations

import argparse
import datetime
import decimal
import enum
import functools
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
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
        "scalar.bfloat16": torch.tensor(3.5).bfloat16(),
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


class Colors(enum.Enum):
    RED = 1


@dataclass
class Settings:
    """As training scripts define them: the module is unknown to the reader."""

    path: Path
    names: dict[str, int]


class Config(dict[str, Any]):
    """Like the dicts with attributes of OmegaConf, addict and mmengine."""

    def __init__(self, **values: Any) -> None:
        super().__init__(values)
        self.__dict__ = {"_parent": None, "_content": dict(values)}


class Slots:
    __slots__ = ("a", "b")


def beside() -> dict[str, Any]:
    slots = Slots()
    slots.a, slots.b = np.ones(3), {1, 2}  # type: ignore[attr-defined]
    return {
        "epoch": 3,
        "best": np.float64(0.5),
        "history": {"loss": np.arange(3.0), "objects": np.array([None, "a"])},
        "args": argparse.Namespace(lr=0.1, output=Path("runs")),
        "config": Config(model=Config(name="resnet18"), steps=[1, 2]),
        "settings": Settings(Path("a"), {"b": 1}),
        "counts": defaultdict(list, a=[1]),
        "more": (Counter("aab"), deque([1, 2], 3), {1, 2}, frozenset({3}), OrderedDict({1: 2})),
        "when": datetime.datetime(2024, 5, 1, tzinfo=datetime.timezone.utc),
        "colors": {Colors.RED: 1, (1, 2): 3, None: slots},
        "device": (torch.device("cpu"), torch.float32, torch.Size([1, 2]), torch.strided),
        "numbers": (1j, slice(1, 2), range(3), decimal.Decimal("1.5"), float("nan"), 1 << 80),
        "function": functools.partial(sorted, reverse=True),
        "optimizer": {"state": {0: {"step": 1, "exp": torch.ones(9)}}, "lrs": [0.1, (1, None)]},
        "random": (torch.get_rng_state(), np.random.RandomState(0).get_state()),
    }


@pytest.mark.parametrize(("key", "protocol"), [("state_dict", 2), ("model", 4), ("module", 5)])
def test_looks_through_wrappers_and_past_what_stands_beside(
    tmp_path: Path, is_zip: bool, key: str, protocol: int
) -> None:
    weight = torch.randn(2, 2)
    others = beside()
    wrapped = {**others, key: {"fc.weight": weight, "fc.bias": torch.ones(2), "version": 1}}
    path = save(wrapped, tmp_path / "a.pth", is_zip, pickle_protocol=protocol)
    assert_reads(path, {"fc.weight": weight, "fc.bias": torch.ones(2)})
    assert read_pth(path).beside == (*others, "version")
    save({"a": weight, "b": {"c": {"d": 1, "e": [2, 3]}}, "f": 4}, path, is_zip)
    assert set(read_pth(path).beside) == {"b", "f"}


def test_whole_modules_and_objects_that_hold_tensors_by_name(tmp_path: Path, is_zip: bool) -> None:
    model = torch.nn.Sequential(
        OrderedDict(conv=torch.nn.Conv2d(3, 4, 1, bias=False), bn=torch.nn.BatchNorm2d(4))
    )
    model.register_buffer("mask", torch.ones(2), persistent=False)
    path = save(torch.nn.DataParallel(model), tmp_path / "a.pth", is_zip)
    assert_reads(path, model.state_dict())
    save({"model": model, "epoch": 1, "ema": None}, path, is_zip)
    assert_reads(path, model.state_dict())
    save(Config(**model.state_dict()), path, is_zip)
    assert_reads(path, model.state_dict())


def test_numpy_arrays_are_weights_too(tmp_path: Path, is_zip: bool) -> None:
    state = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "c": np.array([1, 2], ">i4"),
        "d": np.zeros((0, 3), np.float16),
        "e": np.array(2.5),
        "t": torch.ones(2),
    }
    for protocol in (2, 4, 5):
        path = save(state, tmp_path / "a.pth", is_zip, pickle_protocol=protocol)
        found = read_pth(path)
        assert list(found) == list(state)
        for name, value in state.items():
            np.testing.assert_array_equal(found[name], np.asarray(value))
            assert found[name].dtype.isnative
            assert found[name].flags.writeable


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_read_is_told_and_the_rest_is_read(tmp_path: Path, is_zip: bool) -> None:
    state = {"c": torch.ones(2, dtype=torch.complex64), "a": torch.ones(2), "q": torch.ones(1)}
    state["q"] = torch.quantize_per_tensor(state["q"], 0.1, 0, torch.qint8)
    state["s"] = torch.ones(2).to_sparse()
    path = save(state, tmp_path / "a.pth", is_zip)
    assert_reads(path, {"a": state["a"]})
    said = read_pth(path).unsupported
    assert [sentence[8] for sentence in said] == ["c", "q", "s"]
    assert "torch.ComplexFloatStorage" in said[0]


def test_a_prefix_chooses_what_is_read(tmp_path: Path, is_zip: bool) -> None:
    first, second = torch.zeros(1), torch.ones(1)
    content = {
        "model": {"module.a": first, "head.b": first},
        "model_ema": {"module": {"a": second}},
        "optimizer": {"state": {0: {"m": second}}},
    }
    path = save(content, tmp_path / "a.pth", is_zip)
    assert_reads(path, {"module.a": first, "head.b": first})
    assert list(read_pth(path, "module.")) == ["module.a"]
    found = read_pth(path, "model_ema.")
    assert list(found) == ["model_ema.module.a"]
    assert found.beside == ()
    assert list(read_pth(path, "optimizer.state.")) == ["optimizer.state.0.m"]
    with pytest.raises(WeightsError, match=r"no tensor is under 'ema'; .*'model' \(2\)"):
        read_pth(path, "ema.")


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
        ({"epoch": 3}, "'epoch' is no tensor"),
        (torch.ones(1), "one tensor, not a state dict"),
        ({"a": torch.nn.ReLU()}, r"'a' is no tensor .* 'torch\.nn\.modules\.activation\.ReLU'"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "torch.ComplexFloatStorage"),
        ({"a": torch._neg_view(torch.ones(2))}, "negated"),
        (torch.nn.ReLU(), r"object of 'torch\.nn\.modules\.activation\.ReLU'"),
        ({"a": torch.ones(2).to_sparse()}, "_rebuild_sparse_tensor"),
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

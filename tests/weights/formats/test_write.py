"""Weights files are written whole, and their own frameworks read them."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.errors import WeightsError
from isotune.weights.formats.pth.write import ALIGNMENT
from isotune.weights.formats.read import read_weights
from isotune.weights.formats.write import write_weights

STATE = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn.weight": np.ones(2, np.float32),
    "bn.bias": np.zeros(2, np.float32),
    "bn.running_mean": np.array([1, -1], np.float32),
    "bn.running_var": np.array([2, 3], np.float32),
    "norm.weight": np.ones(2, np.float16),
    "norm.bias": np.zeros(2, np.float16),
    "scale.weight": np.ones(2, np.float32),
    "count": np.array(7, np.int64),
    "flags": np.array([True, False]),
    "nothing": np.zeros((0, 2)),
}


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


def test_each_format_gives_back_what_was_written(tmp_path: Path) -> None:
    write_weights(tmp_path / "a.safetensors", STATE)
    found = read_weights(tmp_path / "a.safetensors")
    assert_equal({name: found[name] for name in STATE}, STATE)

    write_weights(str(tmp_path / "a.pth"), STATE)
    found = read_weights(tmp_path / "a.pth")
    assert found.pop("bn.num_batches_tracked") == 0
    assert_equal(found, STATE)

    write_weights(tmp_path / "a.CKPT", STATE)
    found = read_weights(tmp_path / "a.CKPT")
    names = ["bn.gamma", "bn.beta", "bn.moving_mean", "bn.moving_variance"]
    assert list(found)[1:8] == [*names, "norm.gamma", "norm.beta", "scale.weight"]
    assert_equal(dict(zip(STATE, found.values(), strict=True)), STATE)


@pytest.mark.parametrize("suffix", ["pth", "ckpt", "safetensors"])
def test_strided_and_big_endian_arrays_are_written_right(tmp_path: Path, suffix: str) -> None:
    state = {"a": np.arange(6, dtype=">f4").reshape(2, 3).T, "b": np.arange(6)[::2]}
    write_weights(tmp_path / f"a.{suffix}", state)
    found = read_weights(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(found["a"], state["a"].astype(np.float32), strict=True)
    np.testing.assert_array_equal(found["b"], [0, 2, 4])


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for suffix in ("pth", "ckpt", "safetensors"):
        paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for path in paths:
            write_weights(path, STATE)
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_tensors_of_a_pth_are_aligned(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    write_weights(path, STATE)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            lengths = struct.unpack_from("<HH", content, entry.header_offset + 26)
            start = entry.header_offset + 30 + sum(lengths)
            assert content[start : start + entry.file_size] == archive.read(entry)
            assert start % ALIGNMENT == 0


def test_torch_loads_a_pth_into_its_own_class(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    model = torchvision.models.mobilenet_v2(num_classes=3)
    state = {
        name: value.numpy() + np.float32(1)
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    write_weights(tmp_path / "a.pth", state)
    for mapped in (False, True):
        loaded = torch.load(tmp_path / "a.pth", weights_only=True, mmap=mapped)
        assert list(loaded) == list(model.state_dict())
        model.load_state_dict(loaded, strict=True)
        assert_equal({name: model.state_dict()[name].numpy() for name in state}, state)


@pytest.mark.parametrize(
    ("name", "state", "message"),
    [
        ("a.h5", STATE, r"must end in \.safetensors, \.pth, \.pt, \.ckpt"),
        ("a", STATE, "must end in"),
        ("none/a.pth", STATE, "cannot be written: No such file"),
        ("a.ckpt", {"x": np.array(1j)}, "'x' is of type complex128"),
        ("a.pth", {"x": np.array(["x"])}, "'x' is of type <U1"),
    ],
)
def test_what_cannot_be_written_is_told(
    tmp_path: Path, name: str, state: dict[str, Any], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        write_weights(tmp_path / name, state)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ckpt"
    write_weights(path, STATE)
    before = path.read_bytes()
    disk = OSError(28, "No space left on device")

    def full(*_: Any) -> None:
        raise disk

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(WeightsError, match="No space left"):
            write_weights(path, {"x": np.zeros(3)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    write_weights(path, {"x": np.zeros(3)})
    assert list(read_weights(path)) == ["x"]

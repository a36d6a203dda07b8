"""The reader is picked by content, and other files are named."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from isotune.errors import WeightsError
from isotune.weights.formats.read import read_weights


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    state = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([1, -2], np.int64),
        "c": np.array(True),
        "d": np.zeros((0, 3), np.float16),
    }
    save_file(state, path)
    found = read_weights(path)
    assert found.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


def test_safetensors_of_bfloat16_and_of_a_type_not_read(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}'
    content = len(header).to_bytes(8, "little") + header + b"\xc0\x3f\x00\xc0"
    path = tmp_path / "a"
    path.write_bytes(content)
    np.testing.assert_array_equal(
        read_weights(path)["w"], np.array([[1.5, -2]], np.float32), strict=True
    )
    narrow = content.replace(b"BF16", b"F8_E4M3").replace(b"[1,2]", b"[4]")
    path.write_bytes((len(header) + 1).to_bytes(8, "little") + narrow[8:])
    with pytest.raises(WeightsError, match="'w' is of type F8_E4M3"):
        read_weights(path)
    path.write_bytes(content[:-1])
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n<!DOCTYPE html><html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"hello", "no known format"),
        (b"", "empty"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as error:
        read_weights(path)
    assert f"'{path}' is not a .pth, .safetensors or .ckpt file" in str(error.value)


def test_other_zips_and_pickles_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"")
    with pytest.raises(WeightsError, match=r"data\.pkl is missing"):
        read_weights(path)
    path.write_bytes(b"\x80\x02}.")
    with pytest.raises(WeightsError, match=r"not one that torch\.save wrote"):
        read_weights(path)


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"no weights file '{tmp_path}/none.pth'"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=f"'{tmp_path}' is a folder"):
        read_weights(str(tmp_path))

"""The reader is picked by content, and other files are named."""

from __future__ import annotations

import os
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
        (b'{"metadata": {"total_size": 9}, "weight_map": {"a": "1.safetensors"}}', "several files"),
        (b'{"error": "not found"}', "JSON document"),
        (b"<!-- saved -->\n<html>", "HTML or XML page"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:", "ONNX model"),
        (b"\x0a\x050.3.0\x12\x09MindSpore", "MindIR"),
        (b"\x08\x01\x12\x8f\x02\x0a", "SavedModel"),
        (b"\x0a\x2a\x0a\x05input\x12\x0bPlaceholder", "TensorFlow graph"),
        (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
        (b"\x89HDF\r\n\x1a\n", r"HDF5 file, such as those of TensorFlow and Keras \(\.h5\)"),
        (b"\x82\xa6params\x83", "Flax"),
        (bytes(257) + b"ustar\x0000", "tar archive; unpack it first"),
        (b"BZh91AY", "compressed file; unpack it first"),
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


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.npy", "b.npy"], r"NumPy's \.npz"),
        (["config.json", "metadata.json", "model.weights.h5"], "Keras"),
        (["m/data.pkl", "m/constants.pkl", "m/code/a.py"], "TorchScript"),
        (["m/archive_format", "m/byteorder"], r"torch\.export"),
        (["folder/resnet.pth", "readme"], r"it holds 'folder/resnet\.pth'; unpack it first"),
        (["readme"], r"data\.pkl is missing"),
    ],
)
def test_other_zips_are_named(tmp_path: Path, names: list[str], message: str) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    with pytest.raises(WeightsError, match=message):
        read_weights(path)


def test_cut_safetensors_say_how_much_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros(1000, np.float32), "b": np.zeros(3, np.int64)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    with pytest.raises(WeightsError, match=f"cut off: it has 3,000 of {len(whole):,} bytes"):
        read_weights(path)
    path.write_bytes(whole[:60])
    with pytest.raises(WeightsError, match=r"cut off: its header alone takes .* but it has 60"):
        read_weights(path)


def test_a_lack_of_memory_and_what_is_no_file_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError("Unable to allocate 3 GiB")

    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path)
    monkeypatch.setattr("isotune.weights.formats.read._read_safetensors", exhausted)
    with pytest.raises(WeightsError, match=r"not enough memory \(Unable to allocate 3 GiB\)"):
        read_weights(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="is not a regular file"):
        read_weights(tmp_path / "pipe")


def test_other_pickles_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"\x80\x02}.")
    with pytest.raises(WeightsError, match=r"not one that torch\.save wrote"):
        read_weights(path)


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"no weights file '{tmp_path}/none.pth'"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=f"'{tmp_path}' is a folder"):
        read_weights(str(tmp_path))

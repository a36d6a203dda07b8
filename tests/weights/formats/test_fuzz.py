"""Damaged .ckpt and .safetensors files: one sentence, little memory, nothing made up."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bounded import little_memory
from isotune.errors import WeightsError
from isotune.weights.formats.ckpt.read import TRAILER
from isotune.weights.formats.read import read_weights
from isotune.weights.formats.write import write_weights

STATE = {
    "conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bn.running_mean": np.ones(2, np.float32),
    "count": np.array(5),
    "half": np.ones(3, np.float16),
}
FORMATS = ("ckpt", "safetensors")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    for suffix in FORMATS:
        write_weights(folder / f"a.{suffix}", STATE)
    found = {suffix: (folder / f"a.{suffix}").read_bytes() for suffix in FORMATS}
    plain = found["ckpt"]
    found["checked"] = plain + TRAILER + zlib.crc32(plain).to_bytes(10, "big")
    return found


def read_or_refuse(path: Path) -> dict[str, Any] | None:
    with little_memory():
        try:
            return read_weights(path)
        except WeightsError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
            return None


@pytest.mark.parametrize("kind", ["ckpt", "checked", "safetensors"])
def test_files_cut_off_anywhere(tmp_path: Path, originals: dict[str, bytes], kind: str) -> None:
    original, path = originals[kind], tmp_path / "a"
    path.write_bytes(original)
    whole = read_weights(path)
    readable = []
    for length in range(len(original)):
        path.write_bytes(original[:length])
        if found := read_or_refuse(path):
            readable.append(length)
            assert list(found) == list(whole)[: len(found)]
            assert all(np.array_equal(found[name], whole[name]) for name in found)
    # Without a checksum, a file that ends between two entries is a file of fewer entries.
    assert len(readable) == {"ckpt": 3, "checked": 4, "safetensors": 0}[kind]


def flipped(original: bytes, draw: Callable[..., Any]) -> bytes:
    changed = bytearray(original)
    for position in draw(st.lists(st.integers(0, len(original) - 1), min_size=1, max_size=3)):
        changed[position] = draw(st.integers(0, 255))
    return bytes(changed)


@settings(max_examples=300)
@given(data=st.data())
@pytest.mark.parametrize("kind", FORMATS)
def test_flipped_bytes_are_read_as_other_weights_or_refused(
    tmp_path: Path, originals: dict[str, bytes], kind: str, data: st.DataObject
) -> None:
    path = tmp_path / "a"
    path.write_bytes(flipped(originals[kind], data.draw))
    for value in (read_or_refuse(path) or {}).values():
        assert value.nbytes <= 2 * len(originals[kind])


@settings(max_examples=200)
@given(data=st.data())
def test_flipped_bytes_of_a_file_with_a_checksum_are_noticed(
    tmp_path: Path, originals: dict[str, bytes], data: st.DataObject
) -> None:
    changed = flipped(originals["checked"], data.draw)
    path = tmp_path / "a"
    path.write_bytes(changed)
    assert (read_or_refuse(path) is None) == (changed != originals["checked"])


@settings(max_examples=300)
@given(content=st.binary(max_size=60), start=st.sampled_from([b"", b"\x0a\x10\x0a\x01a", b"\x0a"]))
def test_any_bytes_at_all(tmp_path: Path, content: bytes, start: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(start + content)
    read_or_refuse(path)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}',
        b'{"a":{"dtype":"F32","shape":[0,4611686018427387904,2],"data_offsets":[0,0]}}',
        b'{"a":{"dtype":"F32","shape":[' + b"1," * 40 + b'1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
        b'{"a":{"dtype":"F32","shape":[1]}}',
        b'{"a":[]}',
        b"{}",
        b'{"' + b"[" * 5000,
    ],
)
def test_safetensors_that_lie(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert read_or_refuse(path) is None
    path.write_bytes((99_000_000).to_bytes(8, "little") + header)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(path)

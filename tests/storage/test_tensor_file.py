"""Files of safetensors: as the library writes and reads them, or why a file is none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors import safe_open
from safetensors.numpy import load_file, save, save_file

from isotune.storage.tensor_file import (
    ALL_DTYPES,
    arrays_in,
    in_library_order,
    mapped,
    parts,
    read_array,
    read_header,
    write_tensors,
)

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array([7, -8], np.int32),
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(2.5, np.float32),
}


def test_it_is_what_the_library_writes_and_reads(tmp_path: Path) -> None:
    own, theirs = tmp_path / "own", tmp_path / "theirs"
    with own.open("wb") as file:
        write_tensors(file, {**ARRAYS, "turned": ARRAYS["b"].T}, {"key": "value"})
    loaded = load_file(own)
    np.testing.assert_array_equal(loaded.pop("turned"), ARRAYS["b"].T)
    np.testing.assert_equal(loaded, ARRAYS)
    with safe_open(own, "numpy") as opened:  # type: ignore[no-untyped-call]
        assert opened.metadata() == {"key": "value"}
    save_file(ARRAYS, theirs, {"key": "value"})
    with theirs.open("rb") as file:
        metadata, entries = read_header(file)
        assert metadata == {"key": "value"}
        assert entries.keys() == ARRAYS.keys()
        for name, entry in entries.items():
            for found in (read_array(file, entry), mapped(file, entry)):
                assert (found.dtype, found.shape) == (ARRAYS[name].dtype, ARRAYS[name].shape)
                np.testing.assert_array_equal(found, ARRAYS[name])


def test_an_array_of_another_type_is_not_written() -> None:
    with pytest.raises(ValueError, match="'a' is float64, but should be of F32 and I32"):
        write_tensors(io.BytesIO(), {"a": np.zeros(3)}, {})


def entry(start: int, end: int, **changes: Any) -> dict[str, Any]:
    shape = [max(0, end - start) // 4]
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end], **changes}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, "one after the other"),
        ({"a": entry(0, 4), "b": entry(8, 12)}, "one after the other"),
        ({"a": entry(4, 12)}, "one after the other"),
        ({"a": entry(0, 8)}, "one after the other"),
        ({"a": entry(0, 16)}, "is cut off: it has"),
        ({"a": entry(0, 12, shape=[2])}, "the bytes of 'a' are not those of its shape"),
        ({"a": entry(0, 12, shape=[3, True])}, "should be whole numbers"),
        ({"a": entry(0, 12, shape=[-1, -3])}, "should be whole numbers"),
        ({"a": entry(0, 12), "b": entry(12, 12, shape=[0, 1 << 52, 9])}, "'b' is too large"),
        ({"a": entry(0, 12, dtype="F64")}, "'a' of type F64"),
        ({"a": [0, 12]}, "should have dtype, shape and data_offsets"),
        ({"__metadata__": {"a": 1}}, "its metadata should be text by name"),
    ],
)
def test_a_header_that_lies_is_refused(header: Any, reason: str, tmp_path: Path) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "file"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(12))
    with path.open("rb") as file, pytest.raises(ValueError, match=reason):
        read_header(file)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"<html></html>", "looks like an HTML page"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "has a header of 1,099,511,627,776 bytes"),
        ((99).to_bytes(8, "little") + b"{}", "its header alone takes 107 bytes, but it has 10"),
        ((2).to_bytes(8, "little") + b"{]", "its header is not valid JSON"),
        ((90_000).to_bytes(8, "little") + b'{"a":' * 18_000, "its header is not valid JSON"),
    ],
)
def test_other_files_are_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file, pytest.raises(ValueError, match=reason):
        read_header(file)


names = st.text(st.characters(codec="utf-8"), max_size=6)
some_arrays = st.dictionaries(
    names.filter(lambda name: name != "__metadata__"),
    npst.arrays(
        st.sampled_from(list(ALL_DTYPES.values())), npst.array_shapes(min_dims=0, min_side=0)
    ),
    max_size=5,
)


@given(some_arrays)
def test_the_bytes_are_those_that_the_library_writes(arrays: dict[str, Any]) -> None:
    data = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    assert b"".join(parts(in_library_order(arrays), dtypes=ALL_DTYPES)) == data
    found = arrays_in(np.frombuffer(bytearray(data), np.uint8), ALL_DTYPES)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.aligned
        assert found[name].flags.writeable

"""Files of safetensors with metadata, which are written array by array and mapped when read.

The format is eight bytes with the length of a header, the header as JSON, and the arrays' bytes
without gaps (https://github.com/huggingface/safetensors). Arrays are float32 or int32.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.storage.signatures import HEAD, describe
from isotune.storage.untrusted import SMALL

LARGEST_HEADER = SMALL
"""Largest size of a header in bytes."""

MOST_TENSORS, MOST_DIMENSIONS = 500_000, 16

DTYPES = {"F32": np.dtype("<f4"), "I32": np.dtype("<i4")}

CHUNK = 1 << 24
"""Number of elements that are written at a time."""

_METADATA = "__metadata__"
_LENGTH = 8


@dataclass(frozen=True)
class Entry:
    """An array of a file.

    Attributes:
        dtype: Its type.
        shape: Its shape.
        start: Position in the file of its first byte.
        size: Number of its bytes.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    size: int

    @property
    def end(self) -> int:
        """Position in the file after its last byte."""
        return self.start + self.size


def write_tensors(
    file: BinaryIO, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Writes arrays, in their order, and metadata to an empty file.

    Args:
        file: Open for writing.
        tensors: Arrays by name, float32 or int32; of one that is mapped from a file, little is in
            memory at a time.
        metadata: Text by name.

    Raises:
        OSError: They cannot be written.
        ValueError: The header would be too large, or an array is of another type.
    """
    entries: dict[str, Any] = {_METADATA: dict(metadata)}
    codes = {dtype: code for code, dtype in DTYPES.items()}
    end = 0
    for name, array in tensors.items():
        dtype = array.dtype.newbyteorder("<")
        if dtype not in codes:
            raise ValueError(f"'{name}' is {array.dtype}, neither float32 nor int32")
        start, end = end, end + array.nbytes
        shape = list(array.shape)
        entries[name] = {"dtype": codes[dtype], "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header = header.ljust(-(-len(header) // _LENGTH) * _LENGTH)  # the arrays' bytes are aligned
    if len(header) > LARGEST_HEADER:
        raise ValueError(f"what describes it takes {len(header):,} bytes, which is too much")
    file.write(len(header).to_bytes(_LENGTH, "little"))
    file.write(header)
    for array in tensors.values():
        flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
        for start in range(0, flat.size, CHUNK):
            file.write(flat[start : start + CHUNK].tobytes())


def read_header(file: BinaryIO) -> tuple[dict[str, str], dict[str, Entry]]:
    """Reads what a file of safetensors holds, without its arrays.

    Args:
        file: A regular file, which a stranger may have made.

    Returns:
        The metadata as text by name, and the arrays by name in the order of their bytes.

    Raises:
        ValueError: It is no such file, damaged, or has arrays of other types. The text says what
            is wrong, and begins with a verb.
    """
    size = os.fstat(file.fileno()).st_size
    head = file.read(HEAD)
    length = int.from_bytes(head[:_LENGTH], "little")
    if head[_LENGTH : _LENGTH + 1] != b"{":
        raise ValueError(f"is not a file of safetensors: {describe(head)}")
    if length > LARGEST_HEADER:
        raise ValueError(f"has a header of {length:,} bytes, more than {LARGEST_HEADER:,}")
    begin = _LENGTH + length
    if begin > size:
        raise ValueError(f"is cut off: its header alone takes {begin:,} bytes, but it has {size:,}")
    file.seek(_LENGTH)
    plain = _parsed(file.read(length))
    metadata = plain.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("is damaged: its metadata should be text by name")
    if len(plain) > MOST_TENSORS:
        raise ValueError(f"has {len(plain):,} arrays, more than {MOST_TENSORS:,}")
    entries = {name: _entry(name, value, begin) for name, value in plain.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_gaps(ordered, begin, size)
    return metadata, ordered


def mapped(file: BinaryIO, entry: Entry) -> NDArray[Any]:
    """Maps an array of an open file into memory, read-only; the file may be closed afterwards."""
    if entry.size == 0:
        return np.empty(entry.shape, entry.dtype)
    return np.memmap(file, entry.dtype, "r", entry.start, entry.shape)


def read_array(file: BinaryIO, entry: Entry) -> NDArray[Any]:
    """Reads an array of an open file.

    Raises:
        ValueError: The file is cut off meanwhile.
    """
    file.seek(entry.start)
    data = file.read(entry.size)
    if len(data) != entry.size:
        raise ValueError("is cut off")
    return np.frombuffer(data, entry.dtype).reshape(entry.shape)


def _parsed(header: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(header.decode())
    except (ValueError, RecursionError):
        raise ValueError("is damaged: its header is not valid JSON") from None
    if not isinstance(plain, dict):
        raise ValueError("is damaged: its header should be a mapping")
    return plain


def _entry(name: str, value: Any, begin: int) -> Entry:
    match value:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [start, end]}:
            counts = [*shape, start, end]
        case _:
            raise ValueError(f"is damaged: '{name}' should have dtype, shape and data_offsets")
    if dtype not in DTYPES:
        raise ValueError(f"has '{name}' of type {dtype[:20]}, but should have F32 and I32 alone")
    if not all(type(count) is int and 0 <= count < 1 << 53 for count in counts):
        raise ValueError(f"is damaged: sizes and positions of '{name}' should be whole numbers")
    size = DTYPES[dtype].itemsize * math.prod(shape)
    if len(shape) > MOST_DIMENSIONS or math.prod(filter(None, shape)) >= 1 << 53:
        raise ValueError(f"is damaged: the shape of '{name}' is too large")
    if end - start != size:
        raise ValueError(f"is damaged: the bytes of '{name}' are not those of its shape")
    return Entry(DTYPES[dtype], tuple(shape), begin + start, size)


def _check_gaps(entries: Mapping[str, Entry], begin: int, size: int) -> None:
    edges = [begin, *(edge for each in entries.values() for edge in (each.start, each.end)), size]
    if edges[-2] > size:
        raise ValueError(f"is cut off: it has {size:,} of {edges[-2]:,} bytes")
    if any(one != other for one, other in list(pairwise(edges))[::2]):
        raise ValueError("is damaged: its arrays should lie one after the other")

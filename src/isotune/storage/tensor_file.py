"""Files of safetensors, which are written array by array, and mapped or hashed when read.

The format is eight bytes with the length of a header, the header as JSON, and the arrays' bytes
without gaps (https://github.com/huggingface/safetensors). The library itself copies all arrays to
write them, and once more to read them.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Iterator, Mapping
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

Dtypes = Mapping[str, np.dtype[Any]]
"""NumPy's dtypes by the names that the format has for them."""

DTYPES: Dtypes = {"F32": np.dtype("<f4"), "I32": np.dtype("<i4")}

ALL_DTYPES: Dtypes = {
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F16": np.dtype("<f2"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""Those of real numbers that NumPy has, in the order in which the library writes them."""

CHUNK = 1 << 20
"""Number of bytes that are written or hashed at a time: they stay in a processor's cache."""

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
    file: BinaryIO,
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
    dtypes: Dtypes = DTYPES,
) -> None:
    """Writes arrays, in their order, and metadata to an empty file.

    Args:
        file: Open for writing.
        tensors: Arrays by name; of one that is mapped from a file, little is in memory at a time.
        metadata: Text by name.
        dtypes: Those that arrays may have.

    Raises:
        OSError: They cannot be written.
        ValueError: The header would be too large, or an array is of another type.
    """
    for part in parts(tensors, metadata, dtypes):
        file.write(part)


def parts(
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
    dtypes: Dtypes = DTYPES,
) -> Iterator[bytes | memoryview]:
    """Yields the bytes of a file of arrays, those of contiguous arrays without copying them.

    Args:
        tensors: As for :func:`write_tensors`.
        metadata: As for :func:`write_tensors`.
        dtypes: As for :func:`write_tensors`.

    Raises:
        ValueError: As for :func:`write_tensors`.
    """
    entries: dict[str, Any] = {} if metadata is None else {_METADATA: dict(metadata)}
    codes = {dtype: code for code, dtype in dtypes.items()}
    end = 0
    for name, array in tensors.items():
        code = codes.get(array.dtype.newbyteorder("<"))
        if code is None:
            raise ValueError(f"'{name}' is {array.dtype}, but should be of {_listed(dtypes)}")
        start, end = end, end + array.nbytes
        entries[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header = header.ljust(-(-len(header) // _LENGTH) * _LENGTH)  # the arrays' bytes are aligned
    if len(header) > LARGEST_HEADER:
        raise ValueError(f"what describes it takes {len(header):,} bytes, which is too much")
    yield len(header).to_bytes(_LENGTH, "little") + header
    for array in tensors.values():
        flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
        plain = flat.view(np.uint8).data
        for start in range(0, len(plain), CHUNK):
            yield plain[start : start + CHUNK]


def in_library_order(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Returns arrays of :data:`ALL_DTYPES` in the order in which the library would write them.

    With these dtypes, and without metadata, :func:`parts` yields the bytes that it would write.
    """
    ranks = {dtype: rank for rank, dtype in enumerate(ALL_DTYPES.values())}

    def key(item: tuple[str, NDArray[Any]]) -> tuple[int, str]:
        return ranks.get(item[1].dtype.newbyteorder("<"), -1), item[0]

    return dict(sorted(tensors.items(), key=key))


def read_header(file: BinaryIO, dtypes: Dtypes = DTYPES) -> tuple[dict[str, str], dict[str, Entry]]:
    """Reads what a file of safetensors holds, without its arrays.

    Args:
        file: A regular file, which a stranger may have made.
        dtypes: Those that arrays may have.

    Returns:
        The metadata as text by name, and the arrays by name in the order of their bytes.

    Raises:
        ValueError: It is no such file, damaged, or has arrays of other types. The text says what
            is wrong, and begins with a verb.
    """
    size = os.fstat(file.fileno()).st_size
    head = file.read(HEAD)
    begin = _header_end(head, size)
    file.seek(_LENGTH)
    return _contents(file.read(begin - _LENGTH), size, dtypes)


def arrays_in(data: NDArray[np.uint8], dtypes: Dtypes = DTYPES) -> dict[str, NDArray[Any]]:
    """Returns the arrays of a file of safetensors that has been read.

    Args:
        data: The file's bytes, of shape (n,), whose memory the arrays share where they lie at
            multiples of their items' size.
        dtypes: Those that arrays may have.

    Raises:
        ValueError: As for :func:`read_header`.
    """
    begin = _header_end(data[:HEAD].tobytes(), data.size)
    _, entries = _contents(data[_LENGTH:begin].tobytes(), data.size, dtypes)
    arrays = {
        name: data[entry.start : entry.end].view(entry.dtype).reshape(entry.shape)
        for name, entry in entries.items()
    }
    return {name: each if each.flags.aligned else each.copy() for name, each in arrays.items()}


def new_bytes(size: int) -> NDArray[np.uint8]:
    """Returns an array for the bytes of a file that is going to be read, of shape (size,).

    For large arrays NumPy asks Linux for huge pages. To get 100 MB of those took 200 ms of the
    processor of a virtual machine, and 50 ms in small pages; hashing the file takes 50 ms.

    Raises:
        MemoryError: There is not enough memory.
    """
    if size == 0:
        return np.empty(0, np.uint8)
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
    try:
        return np.frombuffer(mmap.mmap(-1, size, **private), np.uint8)
    except OSError as error:
        raise MemoryError from error


def _header_end(head: bytes, size: int) -> int:
    """Returns the position after the header of a file, given its first bytes and its size."""
    length = int.from_bytes(head[:_LENGTH], "little")
    if head[_LENGTH : _LENGTH + 1] != b"{":
        raise ValueError(f"is not a file of safetensors: {describe(head)}")
    if length > LARGEST_HEADER:
        raise ValueError(f"has a header of {length:,} bytes, more than {LARGEST_HEADER:,}")
    begin = _LENGTH + length
    if begin > size:
        raise ValueError(f"is cut off: its header alone takes {begin:,} bytes, but it has {size:,}")
    return begin


def _contents(header: bytes, size: int, dtypes: Dtypes) -> tuple[dict[str, str], dict[str, Entry]]:
    """Returns the metadata and the arrays that a header describes, in a file of `size` bytes."""
    begin = _LENGTH + len(header)
    plain = _parsed(header)
    metadata = plain.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("is damaged: its metadata should be text by name")
    if len(plain) > MOST_TENSORS:
        raise ValueError(f"has {len(plain):,} arrays, more than {MOST_TENSORS:,}")
    entries = {name: _entry(name, value, begin, dtypes) for name, value in plain.items()}
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


def _entry(name: str, value: Any, begin: int, dtypes: Dtypes) -> Entry:
    match value:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [start, end]}:
            counts = [*shape, start, end]
        case _:
            raise ValueError(f"is damaged: '{name}' should have dtype, shape and data_offsets")
    if dtype not in dtypes:
        raise ValueError(
            f"has '{name}' of type {dtype[:20]}, but should have {_listed(dtypes)} alone"
        )
    if not all(type(count) is int and 0 <= count < 1 << 53 for count in counts):
        raise ValueError(f"is damaged: sizes and positions of '{name}' should be whole numbers")
    size = dtypes[dtype].itemsize * math.prod(shape)
    if len(shape) > MOST_DIMENSIONS or math.prod(filter(None, shape)) >= 1 << 53:
        raise ValueError(f"is damaged: the shape of '{name}' is too large")
    if end - start != size:
        raise ValueError(f"is damaged: the bytes of '{name}' are not those of its shape")
    return Entry(dtypes[dtype], tuple(shape), begin + start, size)


def _listed(dtypes: Dtypes) -> str:
    return " and ".join(dtypes)


def _check_gaps(entries: Mapping[str, Entry], begin: int, size: int) -> None:
    edges = [begin, *(edge for each in entries.values() for edge in (each.start, each.end)), size]
    if edges[-2] > size:
        raise ValueError(f"is cut off: it has {size:,} of {edges[-2]:,} bytes")
    if any(one != other for one, other in list(pairwise(edges))[::2]):
        raise ValueError("is damaged: its arrays should lie one after the other")

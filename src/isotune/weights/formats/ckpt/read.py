"""Reads MindSpore's ``.ckpt``, without MindSpore and without a protobuf library.

The file is the protobuf message ``Checkpoint`` of MindSpore's ``checkpoint.proto``: a sequence of
entries, each a tag and a tensor with dimensions, type and content::

    message Checkpoint  { repeated Value value = 1; }
    message Value       { required string tag = 1; TensorProto tensor = 2; }
    message TensorProto { repeated int64 dims = 1; required string tensor_type = 2;
                          required bytes tensor_content = 3; }

A tensor above 512 MiB is divided into consecutive entries with the same tag and dimensions. With
``crc_check=True`` the file ends with ``crc_num`` and, in ten big-endian bytes, the CRC-32 of the
bytes before it.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.weights.formats.arrays import (
    MAX_DIMENSIONS,
    check_shape,
    read_bytes,
    widen_bfloat16,
)
from isotune.weights.formats.files import FileTensors, Unreadable, printable
from isotune.weights.formats.protobuf import (
    BYTES,
    DAMAGED,
    LONGEST_VARINT,
    VARINT,
    Field,
    fields,
    varints,
)

BFLOAT16 = "BFloat16"
TEXT = "str"
DTYPES = {
    "Float64": "<f8",
    "Float32": "<f4",
    "Float16": "<f2",
    BFLOAT16: "<u2",
    "Int64": "<i8",
    "Int32": "<i4",
    "Int16": "<i2",
    "Int8": "i1",
    "UInt64": "<u8",
    "UInt32": "<u4",
    "UInt16": "<u2",
    "UInt8": "u1",
    "Bool": "?",
}
"""Supported dtypes of MindSpore, with NumPy's type for their stored elements."""

ENCRYPTED = (b"\xd8\x5e\x3a\x7f", b"\xd9\x5e\x3a\x7f", b"\xda\x5e\x3a\x7f")
"""First bytes of files that MindSpore encrypted: AES-GCM, AES-CBC and SM4-CBC."""

# An entry's key and length, then its tag's key, length and first character.
_START = re.compile(rb"\x0a[\x80-\xff]{0,4}[\x00-\x7f]\x0a[\x80-\xff]?[\x01-\x7f][!-~\x80-\xff]")

TRAILER = b"crc_num"
TRAILER_SIZE = len(TRAILER) + 10
MAX_ENTRIES = 100_000
MAX_TAG = 1024
CHUNK = 1 << 20


@dataclass(frozen=True)
class _Entry:
    """An entry of the file, whose content is not read yet."""

    tag: str
    dims: tuple[int, ...]
    dtype: str
    start: int
    size: int


def is_ckpt(head: bytes) -> bool:
    """Whether a file can be a MindSpore checkpoint, by its first bytes."""
    return head.startswith(ENCRYPTED) or _START.match(head) is not None


def read_ckpt(file: BinaryIO) -> FileTensors:
    """Reads all tensors of a file; strings, which MindSpore can store beside them, are not read.

    Returns:
        Arrays by tag, with the file's shapes and dtypes, except bfloat16, which becomes float32.
        They take no more memory than the file has bytes; those of bfloat16 take twice as much.

    Raises:
        Unreadable: the file is damaged, encrypted, or has entries that are no tensors.
    """
    file.seek(0)
    if file.read(4) in ENCRYPTED:
        raise Unreadable(
            "it is encrypted; load it in MindSpore with its key and save it again without one"
        )
    end = _end(file)
    arrays: dict[str, NDArray[Any]] = {}
    texts: list[str] = []
    seen: set[str] = set()
    for tag, pieces in groupby(_entries(file, end), lambda entry: entry.tag):
        if tag in seen:
            raise Unreadable(f"tensor '{tag}' is there twice")
        seen.add(tag)
        entries = list(pieces)
        if entries[0].dtype == TEXT:
            texts.append(tag)
        else:
            arrays[tag] = _array(file, entries)
    if not arrays:
        raise Unreadable("it holds no tensor")
    return FileTensors(arrays, beside=tuple(texts))


def _end(file: BinaryIO) -> int:
    """Returns the position of the message's end, after checking its CRC if it has one."""
    size = file.seek(0, io.SEEK_END)
    if size < TRAILER_SIZE:
        return size
    end = file.seek(size - TRAILER_SIZE)
    trailer = file.read(TRAILER_SIZE)
    if not trailer.startswith(TRAILER):
        return size
    file.seek(0)
    crc = 0
    for start in range(0, end, CHUNK):
        crc = zlib.crc32(file.read(min(CHUNK, end - start)), crc)
    if crc != int.from_bytes(trailer[len(TRAILER) :], "big"):
        raise Unreadable("it is damaged (its CRC is wrong)")
    return end


def _entries(file: BinaryIO, end: int) -> Iterator[_Entry]:
    for count, field in enumerate(fields(file, 0, end)):
        if count == MAX_ENTRIES:
            raise Unreadable(f"it has more than {MAX_ENTRIES} entries")
        if field.number != 1 or field.kind != BYTES:
            raise Unreadable(DAMAGED)
        yield _entry(file, field)


def _entry(file: BinaryIO, field: Field) -> _Entry:
    parts = _only_once(fields(file, field.start, field.end))
    tag = _text(file, parts.get(1))
    tensor = parts.get(2)
    if 3 in parts:
        raise Unreadable(f"'{tag}' is a map of embeddings, which no classifier has")
    if tensor is None or tensor.kind != BYTES:
        raise Unreadable(DAMAGED)
    dims = []
    rest = []
    for part in fields(file, tensor.start, tensor.end):
        if part.number != 1:
            rest.append(part)
            continue
        dims += [part.value] if part.kind == VARINT else _packed(file, part)
        if len(dims) > MAX_DIMENSIONS:
            raise Unreadable(f"tensor '{tag}' has more than {MAX_DIMENSIONS} dimensions")
    parts = _only_once(rest)
    content = parts.get(3)
    if content is None or content.kind != BYTES:
        raise Unreadable(DAMAGED)
    dtype = _text(file, parts.get(2))
    shape = tuple(side - (1 << 64) if side >> 63 else side for side in dims)
    return _Entry(tag, shape, dtype, content.start, content.end - content.start)


def _only_once(message: Iterable[Field]) -> dict[int, Field]:
    """Returns the fields of a message by number.

    Raises:
        Unreadable: a field is repeated, or there are too many.
    """
    parts: dict[int, Field] = {}
    for field in message:
        if field.number in parts:
            raise Unreadable(DAMAGED)
        parts[field.number] = field
        if len(parts) > MAX_DIMENSIONS:
            raise Unreadable(DAMAGED)
    return parts


def _text(file: BinaryIO, field: Field | None) -> str:
    if field is None or field.kind != BYTES or field.end - field.start > MAX_TAG:
        raise Unreadable(DAMAGED)
    file.seek(field.start)
    try:
        return file.read(field.end - field.start).decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable(DAMAGED) from None


def _packed(file: BinaryIO, field: Field) -> list[int]:
    """Reads dimensions that are packed into one field, as protobuf allows."""
    if field.kind != BYTES or field.end - field.start > MAX_DIMENSIONS * LONGEST_VARINT:
        raise Unreadable(DAMAGED)
    return varints(file, field.start, field.end)


def _array(file: BinaryIO, entries: list[_Entry]) -> NDArray[Any]:
    first = entries[0]
    if first.dtype not in DTYPES:
        shown = printable(first.dtype, 40)
        raise Unreadable(f"tensor '{first.tag}' is of type '{shown}', which is not supported")
    if any(entry.dims != first.dims or entry.dtype != first.dtype for entry in entries):
        raise Unreadable(f"tensor '{first.tag}' is there twice, in two shapes or types")
    dtype = np.dtype(DTYPES[first.dtype])
    held = sum(entry.size for entry in entries)
    # Older versions of MindSpore write a scalar with a single dimension of 0.
    shape = () if first.dims == (0,) and held == dtype.itemsize else first.dims
    if any(side < 0 for side in shape):
        raise Unreadable(f"tensor '{first.tag}' has a negative dimension: {shape}")
    if math.prod(shape) * dtype.itemsize != held:
        raise Unreadable(f"tensor '{first.tag}' of shape {shape} cannot have {held} bytes")
    check_shape(shape, f"tensor '{first.tag}'")
    data = np.empty(held, np.uint8)
    filled = 0
    for entry in entries:
        read_bytes(file, entry.start, data[filled : filled + entry.size], DAMAGED)
        filled += entry.size
    if dtype.kind == "b":
        return data.astype(np.bool_).reshape(shape)
    array = data.view(dtype).reshape(shape)
    array = array.astype(dtype.newbyteorder("="), copy=False)
    return widen_bfloat16(array) if first.dtype == BFLOAT16 else array

"""Reads a weights file; its content determines the format, not its name."""

from __future__ import annotations

import json
import os
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.errors import WeightsError
from isotune.storage.signatures import HEAD, binary_kind, describe
from isotune.storage.untrusted import open_regular
from isotune.weights.formats.arrays import check_shape, widen_bfloat16
from isotune.weights.formats.ckpt.read import is_ckpt, read_ckpt
from isotune.weights.formats.files import (
    FileTensors,
    Unreadable,
    check_prefix,
    opened,
    printable,
)
from isotune.weights.formats.pth.read import read_pth
from isotune.weights.formats.pth.zip import MAGIC as ZIP_MAGIC

PICKLE_MAGIC = b"\x80"

SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}

SAFETENSORS_HEADER = 100_000_000
"""Largest size of a header in bytes."""

READABLE_HEADER = 4 << 20
METADATA = "__metadata__"


def read_weights(path: str | Path, prefix: str | None = None) -> FileTensors:
    """Reads a ``.pth``, ``.safetensors`` or MindSpore ``.ckpt`` file.

    Args:
        path: the file.
        prefix: what the names of the wanted tensors begin with; None reads all that may be weights.

    Returns:
        Contiguous arrays by name, with the file's shapes and dtypes, except bfloat16, which
        becomes float32.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another format, or no name begins
            with `prefix`.
    """
    path = Path(path)
    with opened(path) as file:
        head = file.read(HEAD)
        kind = _format(head, path.stat().st_size)
        if kind in ("safetensors", "ckpt"):
            tensors = read_ckpt(file) if kind == "ckpt" else _read_safetensors(file)
            check_prefix(tensors, prefix)
            wanted = {n: v for n, v in tensors.items() if n.startswith(prefix or "")}
            return FileTensors(wanted, beside=tensors.beside)
    if kind == "pth":
        return read_pth(path, prefix)
    raise WeightsError(f"'{path}' {_wrong_format(head)}.")


def refuse_unreadable(path: Path) -> str | None:
    """Returns why a file cannot be read as weights, or None.

    It is read as a whole: the first bytes alone show neither that it is cut off, nor that it is
    another kind of zip archive.

    Raises:
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        head = file.read(HEAD)
        kind = _format(head, os.fstat(file.fileno()).st_size)
    if kind is None:
        return _wrong_format(head)
    try:
        read_weights(path)
    except WeightsError as error:
        reason = error.__cause__ if isinstance(error.__cause__, Unreadable) else error
        return f"cannot be read as weights: {printable(str(reason).rstrip('.'), 300)}"
    return None


def _format(head: bytes, size: int) -> Literal["safetensors", "ckpt", "pth"] | None:
    if _is_safetensors(head, size):
        return "safetensors"
    if is_ckpt(head) and binary_kind(head) is None:
        return "ckpt"
    return "pth" if head.startswith((ZIP_MAGIC, PICKLE_MAGIC)) else None


def _wrong_format(head: bytes) -> str:
    return f"is not a .pth, .safetensors or .ckpt file: {describe(head)}"


def _is_safetensors(head: bytes, file_size: int) -> bool:
    """Whether a file begins with the header of safetensors: eight bytes of length, then JSON.

    A file shorter than its header still counts, so that the message says that it is cut off.
    """
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length < max(file_size, SAFETENSORS_HEADER)


def _read_safetensors(file: BinaryIO) -> FileTensors:
    from safetensors import SafetensorError, deserialize

    file.seek(0)
    try:
        parts = deserialize(file.read())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise Unreadable(_cut_off(file) or str(error)) from error
    if not parts:
        raise Unreadable("it holds no tensor")
    # The order of the parts differs from call to call.
    parts.sort(key=itemgetter(0))
    return FileTensors({name: _array(name, part) for name, part in parts})


def _cut_off(file: BinaryIO) -> str | None:
    """Returns that a file of safetensors ends too early, if its header says so."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = 8 + int.from_bytes(file.read(8), "little")
    if start > size:
        return f"it is cut off: its header alone takes {start:,} bytes, but it has {size:,}"
    if start > READABLE_HEADER:
        return None
    try:
        entries = json.loads(file.read(start - 8))
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != METADATA]
        whole = start + max(ends)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    is_short = isinstance(whole, int) and size < whole < 1 << 62
    return f"it is cut off: it has {size:,} of {whole:,} bytes" if is_short else None


def _array(name: str, part: dict[str, Any]) -> NDArray[Any]:
    dtype = part["dtype"]
    if dtype not in SAFETENSORS_DTYPES:
        raise Unreadable(f"tensor '{name}' is of type {dtype}, which is not supported")
    array = np.frombuffer(part["data"], SAFETENSORS_DTYPES[dtype])
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if dtype == "BF16":
        array = widen_bfloat16(array)
    shape = tuple(part["shape"])
    check_shape(shape, f"tensor '{name}'")
    return array.reshape(shape)

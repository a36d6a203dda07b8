"""Cache files that hold one array, checked whenever they are opened.

A file is a header of :data:`HEADER` bytes, JSON padded with spaces, and then the array's bytes in C
order. The header says what the array was computed from, its type, its shape and its SHA-256, so
that neither a damaged file nor that of another cache entry is taken for the right one.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from isotune.storage.atomic import atomic_file
from isotune.storage.untrusted import open_regular

log = logging.getLogger(__name__)

HEADER = 4096
"""Number of bytes before the array, which so begins on a page of its own."""

CHUNK = 16 << 20
"""Number of bytes that are hashed at a time."""


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal["isotune-cache-1"] = "isotune-cache-1"
    key: str
    dtype: str
    shape: list[NonNegativeInt] = Field(max_length=8)
    sha256: str


def write_sealed(file: BinaryIO, key: str, array: NDArray[Any]) -> None:
    """Writes a header and an array to an empty file.

    Args:
        file: Open for writing.
        key: Names everything that the array was computed from, in at most 1,000 characters.
        array: Of any shape; numbers only.

    Raises:
        OSError: It cannot be written.
    """
    array = np.ascontiguousarray(array)
    file.write(_header(key, array))
    file.write(array.reshape(-1).view(np.uint8).data)


def cache_sealed(path: Path, key: str, array: NDArray[Any]) -> None:
    """Puts an array into a cache file, in place of what it held; does nothing if it cannot.

    Args:
        path: The file, whose folder need not exist.
        key: As for :func:`write_sealed`.
        array: Of any shape; numbers only.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            write_sealed(file, key, array)


def seal(file: BinaryIO, key: str, mapped: NDArray[Any]) -> None:
    """Writes the header before an array that is mapped from the same file at :data:`HEADER`.

    Raises:
        OSError: It cannot be written.
    """
    file.seek(0)
    file.write(_header(key, mapped))
    file.flush()


def open_sealed(path: Path, key: str, dtype: Any) -> NDArray[Any] | None:
    """Maps the array of a file into memory, read-only, if it is intact and of this `key`.

    Whatever else is at `path` is left alone and logged in one line, since what was cached there
    has to be computed again.

    Args:
        path: The file.
        key: What it was written with.
        dtype: The array's type.

    Returns:
        The array, or None where there is no such file or it is another one.
    """
    try:
        with open_regular(path) as file:
            return _checked(file, key, np.dtype(dtype))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    log.warning("%s: %s; what was cached there is computed again.", path, reason)
    return None


def _checked(file: BinaryIO, key: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns the array of an open file.

    Raises:
        ValueError: The header or the array is not what it should be.
    """
    try:
        header = _Header.model_validate_json(file.read(HEADER))
    except ValidationError as error:
        raise ValueError("is damaged, or no file of this cache") from error
    if header.key != key:
        raise ValueError("belongs to another entry of the cache")
    size = math.prod(header.shape) * dtype.itemsize
    if header.dtype != dtype.str or os.fstat(file.fileno()).st_size != HEADER + size:
        raise ValueError("is damaged: its type or size is not the one it was written with")
    if size == 0:
        array = np.empty(header.shape, dtype)
    else:
        array = np.memmap(file, dtype, "r", HEADER, tuple(header.shape))
    if _digest(array) != header.sha256:
        raise ValueError("is damaged: its SHA-256 is not the one it was written with")
    return array


def _header(key: str, array: NDArray[Any]) -> bytes:
    header = _Header(key=key, dtype=array.dtype.str, shape=list(array.shape), sha256=_digest(array))
    text = header.model_dump_json().encode()
    assert len(text) < HEADER, "keys are short"
    return text.ljust(HEADER - 1) + b"\n"


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    data = array.reshape(-1).view(np.uint8)
    for start in range(0, len(data), CHUNK):
        digest.update(data[start : start + CHUNK].data)
    return digest.hexdigest()

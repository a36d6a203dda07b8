"""The files of a checkpoint's states: tensors by name, in the format of safetensors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from isotune.errors import RunError
from isotune.interfaces.checkpoint import State
from isotune.runs.read import damaged, unusable
from isotune.runs.schema import Manifest
from isotune.storage.tensor_file import (
    ALL_DTYPES,
    arrays_in,
    in_library_order,
    new_bytes,
    parts,
    read_header,
)
from isotune.storage.untrusted import open_regular, too_large

MANIFEST = "checkpoint.json"
"""Name of the file of the manifest, which says what the other files should be."""

HEADER = 100_000_000
"""Largest size of a safetensors header in bytes, as the library has it."""

PIECE = 1 << 22
"""Number of bytes that are read at a time, while those before are hashed."""

LARGEST_STATE = 1 << 36
"""Largest size of a file in bytes, far above that of any backbone."""


def state_parts(state: State) -> Iterable[bytes | memoryview]:
    """Yields the bytes of the file that a state makes."""
    return parts(in_library_order(state), dtypes=ALL_DTYPES)


def state_digest(state: State) -> str:
    """Returns the SHA-256 of the file that a state makes."""
    digest = hashlib.sha256()
    for part in state_parts(state):
        digest.update(part)
    return digest.hexdigest()


def packed(state: State) -> bytes:
    """Returns a state in the format of a file of safetensors."""
    return b"".join(state_parts(state))


def unpacked(data: bytes, where: Path) -> State:
    """Returns the state in data that :func:`packed` has made.

    Args:
        data: Content of a file of safetensors.
        where: Where it comes from, for messages.

    Raises:
        RunError: It does not hold tensors.
    """
    try:
        return arrays_in(np.frombuffer(bytearray(data), np.uint8), ALL_DTYPES)
    except ValueError as error:
        raise _no_tensors(where, error) from error


def read_state(path: Path, manifest: Manifest) -> State:
    """Reads a file of tensors into memory that nobody else can change, and checks it.

    Args:
        path: The file, which a stranger may have made.
        manifest: What it should be.

    Raises:
        RunError: It is not that, or cannot be read.
    """
    with _opened(path, manifest) as file, ThreadPoolExecutor(1, "isotune-hash") as pool:
        digest = hashlib.sha256()
        data = new_bytes(os.fstat(file.fileno()).st_size)
        rest = data.data
        while count := file.readinto(rest[:PIECE]):  # type: ignore[attr-defined]
            pool.submit(digest.update, rest[:count])  # one after the other
            rest = rest[count:]
    if rest:
        raise damaged(path, "it was cut off while it was read")
    _check_hash(path, digest.hexdigest(), manifest)
    try:
        state = arrays_in(data, ALL_DTYPES)
    except ValueError as error:
        raise _no_tensors(path, error) from error
    _check_shapes(path, {name: value.shape for name, value in state.items()}, manifest)
    return state


def check_state_file(path: Path, manifest: Manifest) -> None:
    """Checks a file of tensors as :func:`read_state` does, with little of it in memory.

    Raises:
        RunError: As :func:`read_state`.
    """
    digest, piece = hashlib.sha256(), memoryview(bytearray(PIECE))
    with _opened(path, manifest) as file:
        while count := file.readinto(piece):  # type: ignore[attr-defined]
            digest.update(piece[:count])
        _check_hash(path, digest.hexdigest(), manifest)
        file.seek(0)
        try:
            _, entries = read_header(file, ALL_DTYPES)
        except ValueError as error:
            raise _no_tensors(path, error) from error
    _check_shapes(path, {name: entry.shape for name, entry in entries.items()}, manifest)


@contextmanager
def _opened(path: Path, manifest: Manifest) -> Iterator[BinaryIO]:
    """Opens a file of tensors, if it is no larger than the manifest allows."""
    shapes = manifest.tensors.get(path.name, {}).values()
    limit = min(HEADER + 8 * sum(map(prod, shapes)), LARGEST_STATE)  # 8 bytes: the largest dtypes
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > limit:
                raise too_large(path, limit)
            yield file
    except OSError as error:
        raise unusable(path, error) from error
    except MemoryError:
        raise RunError(f"{path}: needs more memory than there is.") from None


def _check_hash(path: Path, sha256: str, manifest: Manifest) -> None:
    if sha256 != manifest.sha256.get(path.name):
        raise damaged(path, f"its SHA-256 is not the one in {MANIFEST}")


def _check_shapes(path: Path, found: Mapping[str, tuple[int, ...]], manifest: Manifest) -> None:
    expected = {name: tuple(shape) for name, shape in manifest.tensors.get(path.name, {}).items()}
    for name in sorted(expected.keys() | found.keys()):
        one, other = found.get(name), expected.get(name)
        if one != other:
            raise damaged(
                path, f"'{name}' has shape {_list(one)}, but {_list(other)} in {MANIFEST}"
            )


def _no_tensors(where: Path, error: ValueError) -> RunError:
    return damaged(where, f"it does not hold tensors: it {error}")


def _list(shape: tuple[int, ...] | None) -> list[int] | None:
    return None if shape is None else list(shape)

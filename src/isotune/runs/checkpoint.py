"""The files of a checkpoint, the same for every backend; docs/checkpoints.md specifies them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import RunError
from isotune.interfaces.checkpoint import State
from isotune.runs.read import MOST_EPOCHS, checked, damaged, parse_json, read_bytes, unusable
from isotune.runs.schema import AVERAGED_FORMAT, FORMAT, Manifest
from isotune.storage.atomic import flush_folder
from isotune.storage.tensor_file import ALL_DTYPES, arrays_in, in_library_order, new_bytes, parts
from isotune.storage.untrusted import open_regular, refuse_link, too_large

MODEL, OPTIMIZER, MANIFEST = "model.safetensors", "optimizer.safetensors", "checkpoint.json"
AVERAGE = "average.safetensors"

WEIGHTS = {"model": MODEL, "average": AVERAGE}
"""The file of the weights that a manifest's evaluation was of, by what it calls them."""

HEADER = 100_000_000
"""Largest size of a safetensors header in bytes, as the library has it."""

PIECE = 1 << 22
"""Number of bytes that are read at a time, while those before are hashed."""

LARGEST_MANIFEST, LARGEST_STATE = 48 << 20, 1 << 36
"""Largest sizes of files in bytes, far above those of any backbone and run."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        model: The model's state.
        optimizer: The optimizer's state.
        manifest: Everything else.
        average: The averages of all tensors of the model, which are their values where training
            does not change them; None without averages. The manifest says the same.
    """

    model: State
    optimizer: State
    manifest: Manifest
    average: State | None = None

    @property
    def weights(self) -> State:
        """What evaluations were of: the average, if there is one, or the model."""
        return self.model if self.average is None else self.average

    @property
    def weights_file(self) -> str:
        """Name of the file of :attr:`weights`."""
        return WEIGHTS[self.manifest.weights]


@dataclass(frozen=True)
class WrittenStates:
    """The files of states that have no manifest yet.

    Attributes:
        tensors: Shapes of the tensors, by file.
        sha256: SHA-256 of the files.
    """

    tensors: dict[str, dict[str, list[int]]]
    sha256: dict[str, str]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes the files into an empty folder and flushes them to disk.

    Raises:
        OSError: they cannot be written.
    """
    states = state_files(checkpoint.model, checkpoint.optimizer, checkpoint.average)
    write_manifest(folder, checkpoint.manifest, write_states(folder, states))


def state_files(model: State, optimizer: State, average: State | None) -> dict[str, State]:
    """Returns the states of a checkpoint by the names of their files."""
    states = {MODEL: model, OPTIMIZER: optimizer}
    return states if average is None else {**states, AVERAGE: average}


def write_states(folder: Path, states: Mapping[str, State]) -> WrittenStates:
    """Writes states by the names of their files, and flushes them to disk.

    Hashing takes as long as writing, and goes on beside it.

    Raises:
        OSError: they cannot be written.
    """
    with ThreadPoolExecutor(1, "isotune-hash") as pool:
        hashes = {name: pool.submit(state_digest, state) for name, state in states.items()}
        for name, state in states.items():
            _write_flushed(folder / name, _parts(state))
        sha256 = {name: each.result() for name, each in hashes.items()}
    tensors = {
        name: {key: list(value.shape) for key, value in state.items()}
        for name, state in states.items()
    }
    return WrittenStates(tensors, sha256)


def write_manifest(folder: Path, manifest: Manifest, written: WrittenStates) -> None:
    """Writes the manifest of states into their folder, and flushes both to disk.

    Raises:
        OSError: it cannot be written.
    """
    version = AVERAGED_FORMAT if AVERAGE in written.sha256 else FORMAT
    hashes = dict(written.sha256)
    plain = {
        "format": version,
        **manifest.model_dump(),
        "tensors": written.tensors,
        "sha256": hashes,
    }
    hashes[MANIFEST] = _digest(plain)
    _write_flushed(folder / MANIFEST, [json.dumps(plain, indent=2).encode()])
    flush_folder(folder)


def _parts(state: State) -> Iterable[bytes | memoryview]:
    return parts(in_library_order(state), dtypes=ALL_DTYPES)


def state_digest(state: State) -> str:
    """Returns the SHA-256 of the file that a state makes."""
    digest = hashlib.sha256()
    for part in _parts(state):
        digest.update(part)
    return digest.hexdigest()


def packed(state: State) -> bytes:
    """Returns a state in the format of a file of safetensors."""
    return b"".join(_parts(state))


def unpacked(data: bytes, where: Path) -> State:
    """Returns the state in data that :func:`packed` has made.

    Args:
        data: Content of a file of safetensors.
        where: Where it comes from, for messages.

    Raises:
        RunError: It does not hold tensors.
    """
    return _arrays(np.frombuffer(bytearray(data), np.uint8), where)


def read_checkpoint(folder: Path, optimizer: bool = True) -> Checkpoint:
    """Reads a checkpoint and checks its hashes and the shapes of its tensors.

    Args:
        folder: The checkpoint's folder.
        optimizer: Whether to read the optimizer's state, too; if not, it is empty.

    Raises:
        RunError: a file is missing, damaged or of another format; the message names it.
    """
    manifest = read_manifest(folder)
    names = [name for name in _files(manifest) if optimizer or name != OPTIMIZER]
    with ThreadPoolExecutor(len(names), "isotune-read") as pool:
        states = pool.map(partial(_read_state, manifest=manifest), [folder / n for n in names])
        found = dict(zip(names, states, strict=True))
    return Checkpoint(found[MODEL], found.get(OPTIMIZER, {}), manifest, found.get(AVERAGE))


def _files(manifest: Manifest) -> list[str]:
    """Returns the names of the files of a checkpoint's states."""
    return [MODEL, OPTIMIZER, *([AVERAGE] if manifest.weights == "average" else [])]


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest only.

    Raises:
        RunError: it is missing, damaged, of another format or of another checkpoint.
    """
    path = folder / MANIFEST
    try:
        refuse_link(folder)
    except OSError as error:
        raise unusable(folder, error) from error
    plain = parse_json(read_bytes(path, LARGEST_MANIFEST), path)
    if isinstance(plain, dict) and plain.get("format", FORMAT) not in (FORMAT, AVERAGED_FORMAT):
        version = str(plain["format"])[:40]
        raise RunError(
            f"{path}: has format {version}; this Isotune reads formats {FORMAT} and"
            f" {AVERAGED_FORMAT}."
        )
    history = plain.get("history") if isinstance(plain, dict) else None
    if isinstance(history, list) and len(history) > MOST_EPOCHS:
        raise damaged(path, f"history has {len(history)} epochs")
    manifest = checked(Manifest, plain, path)
    if MANIFEST not in manifest.sha256 or manifest.sha256[MANIFEST] != _digest(plain):
        raise damaged(path, "its SHA-256 is not the one it was written with")
    if manifest.name != folder.name:
        raise damaged(path, f"it belongs to {manifest.name}")
    return manifest


def _write_flushed(path: Path, content: Iterable[bytes | memoryview]) -> None:
    with path.open("xb") as file:
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())


def _digest(manifest: dict[str, Any]) -> str:
    """Returns the SHA-256 of a manifest, without its own digest."""
    others = {k: v for k, v in manifest["sha256"].items() if k != MANIFEST}
    return hashlib.sha256(json.dumps({**manifest, "sha256": others}).encode()).hexdigest()


def _read_state(path: Path, manifest: Manifest) -> State:
    shapes = {name: tuple(shape) for name, shape in manifest.tensors.get(path.name, {}).items()}
    size = HEADER + 8 * sum(map(prod, shapes.values()))  # no dtype has more than 8 bytes
    try:
        data, sha256 = _read_hashed(path, min(size, LARGEST_STATE))
        if sha256 != manifest.sha256.get(path.name):
            raise damaged(path, f"its SHA-256 is not the one in {MANIFEST}")
        state = _arrays(data, path)
    except OSError as error:
        raise unusable(path, error) from error
    except MemoryError:
        raise RunError(f"{path}: needs more memory than there is.") from None
    for name in sorted(shapes.keys() | state.keys()):
        shape, expected = state[name].shape if name in state else None, shapes.get(name)
        if shape != expected:
            raise damaged(
                path, f"'{name}' has shape {_list(shape)}, but {_list(expected)} in {MANIFEST}"
            )
    return state


def _read_hashed(path: Path, limit: int) -> tuple[NDArray[np.uint8], str]:
    """Returns the bytes of a file, which nobody else can change, and their SHA-256.

    Raises:
        OSError: It is no regular file, or larger than `limit` bytes.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file, ThreadPoolExecutor(1, "isotune-hash") as pool:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise too_large(path, limit)
        data = new_bytes(size)
        rest = data.data
        while count := file.readinto(rest[:PIECE]):  # type: ignore[attr-defined]
            pool.submit(digest.update, rest[:count])  # one after the other
            rest = rest[count:]
    if rest:
        raise OSError(errno.EIO, "is cut off", str(path))
    return data, digest.hexdigest()


def _arrays(data: NDArray[np.uint8], where: Path) -> State:
    try:
        return arrays_in(data, ALL_DTYPES)
    except ValueError as error:
        raise damaged(where, f"it does not hold tensors: it {error}") from error


def _list(shape: tuple[int, ...] | None) -> list[int] | None:
    return None if shape is None else list(shape)

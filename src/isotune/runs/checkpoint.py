"""The files of a checkpoint, the same for every backend; docs/checkpoints.md specifies them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from isotune.errors import RunError
from isotune.interfaces.checkpoint import State
from isotune.runs.read import MOST_EPOCHS, checked, damaged, parse_json, read_bytes, unusable
from isotune.runs.schema import AVERAGED_FORMAT, FORMAT, Manifest
from isotune.runs.state_files import (
    MANIFEST,
    check_state_file,
    read_state,
    state_parts,
)
from isotune.storage.atomic import flush_folder
from isotune.storage.untrusted import refuse_link

MODEL, OPTIMIZER = "model.safetensors", "optimizer.safetensors"
AVERAGE = "average.safetensors"

WEIGHTS = {"model": MODEL, "average": AVERAGE}
"""The file of the weights that a manifest's evaluation was of, by what it calls them."""

LARGEST_MANIFEST = 48 << 20
"""Largest size of a manifest in bytes, far above that of any run."""


T = TypeVar("T")


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
    digests = {name: hashlib.sha256() for name in states}
    with ThreadPoolExecutor(1, "isotune-hash") as pool:
        for name, state in states.items():
            _write_flushed(folder / name, _hashed(state_parts(state), digests[name].update, pool))
    tensors = {
        name: {key: list(value.shape) for key, value in state.items()}
        for name, state in states.items()
    }
    return WrittenStates(tensors, {name: each.hexdigest() for name, each in digests.items()})


def _hashed(
    parts: Iterable[bytes | memoryview],
    update: Callable[[bytes | memoryview], object],
    pool: Executor,
) -> Iterator[bytes | memoryview]:
    """Yields the parts of a file, which a thread hashes one after the other."""
    for part in parts:
        pool.submit(update, part)
        yield part


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
    found = dict(zip(names, _each(read_state, folder, names, manifest), strict=True))
    return Checkpoint(found[MODEL], found.get(OPTIMIZER, {}), manifest, found.get(AVERAGE))


def check_checkpoint(folder: Path) -> None:
    """Checks a checkpoint as :func:`read_checkpoint` does, but keeps nothing in memory.

    Raises:
        RunError: as for :func:`read_checkpoint`.
    """
    manifest = read_manifest(folder)
    _each(check_state_file, folder, _files(manifest), manifest)


def _each(
    work: Callable[[Path, Manifest], T], folder: Path, names: Sequence[str], manifest: Manifest
) -> list[T]:
    """Returns what some work makes of each file, in threads."""
    with ThreadPoolExecutor(len(names), "isotune-read") as pool:
        return list(pool.map(lambda name: work(folder / name, manifest), names))


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

"""The files of a checkpoint, the same for every backend; docs/checkpoints.md specifies them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from isotune.errors import RunError
from isotune.interfaces.checkpoint import State
from isotune.runs.read import MOST_EPOCHS, checked, damaged, parse_json, read_bytes, unusable
from isotune.runs.schema import AVERAGED_FORMAT, FORMAT, Manifest
from isotune.storage.atomic import flush_folder
from isotune.storage.untrusted import refuse_link

MODEL, OPTIMIZER, MANIFEST = "model.safetensors", "optimizer.safetensors", "checkpoint.json"
AVERAGE = "average.safetensors"

WEIGHTS = {"model": MODEL, "average": AVERAGE}
"""The file of the weights that a manifest's evaluation was of, by what it calls them."""

HEADER = 100_000_000
"""Largest size of a safetensors header in bytes, as the library has it."""

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


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes the files into an empty folder and flushes them to disk.

    Raises:
        OSError: they cannot be written.
    """
    hashes, tensors = {}, {}
    states = {MODEL: checkpoint.model, OPTIMIZER: checkpoint.optimizer}
    if checkpoint.average is not None:
        states[AVERAGE] = checkpoint.average
    for name, state in states.items():
        data = packed(state)
        hashes[name] = hashlib.sha256(data).hexdigest()
        tensors[name] = {key: list(value.shape) for key, value in state.items()}
        _write_flushed(folder / name, data)
    plain = checkpoint.manifest.model_dump()
    version = FORMAT if checkpoint.average is None else AVERAGED_FORMAT
    manifest = {"format": version, **plain, "tensors": tensors, "sha256": hashes}
    hashes[MANIFEST] = _digest(manifest)
    _write_flushed(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
    flush_folder(folder)


def packed(state: State) -> bytes:
    """Returns a state in the format of a file of safetensors."""
    from safetensors.numpy import save

    return save({key: np.asarray(value, order="C") for key, value in state.items()})


def unpacked(data: bytes, where: Path) -> State:
    """Returns the state in data that :func:`packed` has made.

    Args:
        data: Content of a file of safetensors.
        where: Where it comes from, for messages.

    Raises:
        RunError: It does not hold tensors.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(data))
    except (SafetensorError, LookupError, ValueError, TypeError) as error:
        raise damaged(where, f"it does not hold tensors: {error}") from error


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads a checkpoint and checks its hashes and the shapes of its tensors.

    Raises:
        RunError: a file is missing, damaged or of another format; the message names it.
    """
    manifest = read_manifest(folder)
    model, optimizer = (_read_state(folder / file, manifest) for file in (MODEL, OPTIMIZER))
    averaged = manifest.weights == "average"
    average = _read_state(folder / AVERAGE, manifest) if averaged else None
    return Checkpoint(model, optimizer, manifest, average)


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


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
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
        data = read_bytes(path, min(size, LARGEST_STATE))
        if hashlib.sha256(data).hexdigest() != manifest.sha256.get(path.name):
            raise damaged(path, f"its SHA-256 is not the one in {MANIFEST}")
        state = unpacked(data, path)
    except MemoryError:
        raise RunError(f"{path}: needs more memory than there is.") from None
    for name in sorted(shapes.keys() | state.keys()):
        shape, expected = state[name].shape if name in state else None, shapes.get(name)
        if shape != expected:
            raise damaged(
                path, f"'{name}' has shape {_list(shape)}, but {_list(expected)} in {MANIFEST}"
            )
    return state


def _list(shape: tuple[int, ...] | None) -> list[int] | None:
    return None if shape is None else list(shape)

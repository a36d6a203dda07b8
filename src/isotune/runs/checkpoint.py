"""The files of a checkpoint, the same for every backend; docs/checkpoints.md specifies them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isotune.errors import RunError
from isotune.interfaces.checkpoint import State
from isotune.storage.atomic import flush_folder

FORMAT = 2
MODEL, OPTIMIZER, MANIFEST = "model.safetensors", "optimizer.safetensors", "checkpoint.json"

EARLIER_KEYS = {"pictures": "images", "segments": "lineage"}
"""Keys of Isotune 0.1.0, and what they are called since."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        model: The model's state.
        optimizer: The optimizer's state.
        manifest: Everything else, as plain data.
    """

    model: State
    optimizer: State
    manifest: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes the files into an empty folder and flushes them to disk.

    Raises:
        OSError: they cannot be written.
    """
    from safetensors.numpy import save

    hashes, tensors = {}, {}
    for name, state in ((MODEL, checkpoint.model), (OPTIMIZER, checkpoint.optimizer)):
        data = save({key: np.asarray(value, order="C") for key, value in state.items()})
        hashes[name] = hashlib.sha256(data).hexdigest()
        tensors[name] = {key: list(value.shape) for key, value in state.items()}
        _write_flushed(folder / name, data)
    manifest = {"format": FORMAT, **checkpoint.manifest, "tensors": tensors, "sha256": hashes}
    hashes[MANIFEST] = _digest(manifest)
    _write_flushed(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
    flush_folder(folder)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads a checkpoint and checks its hashes and the shapes of its tensors.

    Raises:
        RunError: a file is missing, damaged or of another format; the message names it.
    """
    manifest = read_manifest(folder)
    model, optimizer = (_read_state(folder / file, manifest) for file in (MODEL, OPTIMIZER))
    return Checkpoint(model, optimizer, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest only.

    Raises:
        RunError: it is missing, damaged or of another format.
    """
    path = folder / MANIFEST
    try:
        manifest = dict(json.loads(path.read_text("utf-8")))
        version = manifest["format"]
        intact = version != FORMAT or manifest["sha256"][MANIFEST] == _digest(manifest)
    except OSError as error:
        raise RunError(f"{path}: is damaged: it cannot be read: {error.strerror}.") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: is damaged: {error!r}.") from error
    if version != FORMAT:
        raise RunError(f"{path}: has format {version!r}; this Isotune reads format {FORMAT}.")
    if not intact:
        raise RunError(f"{path}: is damaged: its SHA-256 is not the one it was written with.")
    return with_current_keys(manifest)


def with_current_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Returns a manifest or summary with its earlier keys replaced by the current ones."""
    return {EARLIER_KEYS.get(key, key): value for key, value in values.items()}


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _digest(manifest: dict[str, Any]) -> str:
    """Returns the SHA-256 of a manifest, without its own digest."""
    others = {k: v for k, v in manifest["sha256"].items() if k != MANIFEST}
    return hashlib.sha256(json.dumps({**manifest, "sha256": others}).encode()).hexdigest()


def _read_state(path: Path, manifest: dict[str, Any]) -> State:
    from safetensors.numpy import load

    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: is damaged: it cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != manifest["sha256"].get(path.name):
        raise RunError(f"{path}: is damaged: its SHA-256 is not the one in {MANIFEST}.")
    state = dict(load(data))
    shapes = manifest["tensors"].get(path.name, {})
    for name in sorted(shapes.keys() | state.keys()):
        shape, expected = list(state[name].shape) if name in state else None, shapes.get(name)
        if shape != expected:
            raise RunError(
                f"{path}: is damaged: '{name}' has shape {shape}, but {expected} in {MANIFEST}."
            )
    return state

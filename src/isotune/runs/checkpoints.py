"""Checkpoints on disk, the same for every backend.

::

    checkpoints/
        index.json             {"best": "epoch-0003", "last": "epoch-0010",
                                "steps": ["step-00001560"]}
        epoch-0003/
            model.safetensors        canonical names and layouts: torchvision's
            optimizer.safetensors    PARAMETER/SLOT, PyTorch's slot names
            checkpoint.json          format, spec, classes, epoch, step, metrics, hashes of all
        step-00001560/               the same, in the middle of an epoch

A folder is written beside, flushed and renamed, and the index replaced after that, so that
what the index names is always whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isotune.errors import RunError, nearest
from isotune.interfaces.checkpoint import State
from isotune.runs.folder import write_atomically

FORMAT = 1
MODEL, OPTIMIZER, MANIFEST = "model.safetensors", "optimizer.safetensors", "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        model: the model's state.
        optimizer: the optimizer's state.
        manifest: everything else, as plain data.
    """

    model: State
    optimizer: State
    manifest: dict[str, Any]


@dataclass(frozen=True)
class Index:
    """Which checkpoints a run keeps, by the names of their folders.

    Attributes:
        best: that of the best epoch so far; None while no epoch was evaluated.
        last: that of the last epoch; None before the end of the first.
        steps: those made between, the oldest first.
    """

    best: str | None = None
    last: str | None = None
    steps: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all folders, each once."""
        epochs = (name for name in (self.best, self.last) if name)
        return tuple(dict.fromkeys((*epochs, *self.steps)))

    def find(self, which: str) -> str | None:
        """Returns the folder that `which` names: ``best``, ``last`` or the folder itself."""
        if which in ("best", "last"):
            return self.best if which == "best" else self.last
        return which if which in self.names else None


class CheckpointStore:
    """Keeps the best and the last checkpoint of a run, and the newest of those between."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, name: str, checkpoint: Checkpoint, *, best: bool) -> None:
        """Writes an epoch's checkpoint, makes it the last one (and the best).

        What is then neither, nor of a step, is removed.

        Raises:
            RunError: it cannot be written; those before it are untouched.
        """
        self._add(
            name,
            checkpoint,
            lambda index: replace(index, last=name, best=name if best else index.best),
        )

    def save_step(self, name: str, checkpoint: Checkpoint, *, keep: int) -> None:
        """Writes a step's checkpoint; of its kind only the newest `keep` stay.

        Raises:
            RunError: it cannot be written; those before it are untouched.
        """

        def with_step(index: Index) -> Index:
            others = tuple(step for step in index.steps if step != name)
            return replace(index, steps=(*others, name)[-keep:])

        self._add(name, checkpoint, with_step)

    def index(self) -> Index:
        """Returns which checkpoints there are; runs made before there were steps have none.

        Raises:
            RunError: the index is damaged.
        """
        path = self._folder / "index.json"
        if not path.exists():
            return Index()
        try:
            found = json.loads(path.read_text("utf-8"))
            steps = tuple(map(str, found.get("steps", ())))
            return Index(found.get("best"), found.get("last"), steps)
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}.") from error
        except (ValueError, AttributeError, TypeError) as error:
            raise RunError(f"{path}: is damaged: {error}.") from error

    def newest(self) -> str | None:
        """Returns the folder of the checkpoint with most training steps; None if there is none.

        Raises:
            RunError: the index or a manifest is damaged.
        """
        index = self.index()
        names = [name for name in (index.last, *index.steps[-1:]) if name]
        steps = {name: _read_manifest(self._folder / name / MANIFEST)["step"] for name in names}
        return max(names, key=lambda name: int(steps[name]), default=None)

    def load(self, which: str) -> Checkpoint:
        """Reads a checkpoint and checks its hashes.

        Args:
            which: ``best``, ``last``, or the name of a checkpoint's folder.

        Raises:
            RunError: there is none, or a file of it is damaged; the message names it.
        """
        index = self.index()
        name = index.find(which)
        if name is None:
            raise RunError(f"{self._folder}: {_missing(which, index)}")
        folder = self._folder / name
        manifest = _read_manifest(folder / MANIFEST)
        states = [_read_state(folder / file, manifest["sha256"]) for file in (MODEL, OPTIMIZER)]
        return Checkpoint(states[0], states[1], manifest)

    def _add(self, name: str, checkpoint: Checkpoint, indexed: Callable[[Index], Index]) -> None:
        beside = self._folder / f".{name}.{os.getpid()}"
        try:
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            _write(beside, checkpoint)
            final = self._folder / name
            shutil.rmtree(final, ignore_errors=True)
            beside.replace(final)
            _flush_folder(self._folder)
            index = indexed(self.index())
            write_atomically(self._folder / "index.json", _index_text(index))
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            raise RunError(
                f"{self._folder / name}: cannot be written: {error.strerror or error}."
                " The checkpoints before it are untouched."
            ) from error
        self._remove_all_but(set(index.names))

    def _remove_all_but(self, kept: set[str]) -> None:
        for path in self._folder.iterdir():
            if path.is_dir() and path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)


def _index_text(index: Index) -> str:
    kept = {"best": index.best, "last": index.last, "steps": list(index.steps)}
    return json.dumps({key: value for key, value in kept.items() if value}) + "\n"


def _missing(which: str, index: Index) -> str:
    if not index.names:
        return "there is no checkpoint yet."
    marks = {"best": index.best, "last": index.last}
    marked = [f"{mark} ({name})" for mark, name in marks.items() if name]
    return (
        f"there is no checkpoint '{which}'.{nearest(which, ('best', 'last', *index.names))}"
        f" There are: {', '.join((*marked, *index.steps))}."
    )


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    from safetensors.numpy import save

    hashes = {}
    for name, state in ((MODEL, checkpoint.model), (OPTIMIZER, checkpoint.optimizer)):
        data = save({key: np.asarray(value, order="C") for key, value in state.items()})
        hashes[name] = hashlib.sha256(data).hexdigest()
        _write_flushed(folder / name, data)
    manifest = {"format": FORMAT, **checkpoint.manifest, "sha256": hashes}
    hashes[MANIFEST] = _digest(manifest)
    _write_flushed(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
    _flush_folder(folder)


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(manifest: dict[str, Any]) -> str:
    """Returns the SHA-256 of a manifest, its own digest left out."""
    others = {k: v for k, v in manifest["sha256"].items() if k != MANIFEST}
    return hashlib.sha256(json.dumps({**manifest, "sha256": others}).encode()).hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = dict(json.loads(path.read_text("utf-8")))
        found = manifest["format"]
        intact = found != FORMAT or manifest["sha256"][MANIFEST] == _digest(manifest)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: is damaged: {error!r}.") from error
    if found != FORMAT:
        raise RunError(f"{path}: has format {found!r}; this Isotune reads format {FORMAT}.")
    if not intact:
        raise RunError(f"{path}: is damaged: its SHA-256 is not the one it was written with.")
    return manifest


def _read_state(path: Path, hashes: dict[str, str]) -> State:
    from safetensors.numpy import load

    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != hashes.get(path.name):
        raise RunError(f"{path}: is damaged: its SHA-256 is not the one in {MANIFEST}.")
    return dict(load(data))

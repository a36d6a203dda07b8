"""Runs that are stopped, to be resumed."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import isotune
from isotune.errors import StoppedError
from isotune.experiment.result import Run
from isotune.hookspecs import hookimpl
from isotune.interfaces.events import StepEnded
from isotune.runs.checkpoints import CheckpointStore
from made_runs import write_checkpoint
from tiny import experiment
from zoo import plugins, run


class StopAt:
    """Asks for a stop, as a job scheduler does, after a step of the process.

    It is an observer, and a plugin.
    """

    def __init__(self, step: int) -> None:
        self.left = step

    @hookimpl
    def isotune_step_ended(self, event: StepEnded) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


class InterruptAt(StopAt):
    """Ends a run as Ctrl-C does when it is pressed twice."""

    def isotune_step_ended(self, event: StepEnded) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def demanding(backend: str, images: Path, **changes: Any) -> dict[str, Any]:
    """Returns an experiment with all that a resume could forget: three steps an epoch."""
    net = "linear" if backend == "numpy" else "tiny_bn"
    head = {} if backend == "numpy" else {"head": {"name": "mlp", "hidden": [6], "dropout": 0.5}}
    spec = experiment(
        images,
        backbone={"name": net, "weights": "none"},
        schedule="one_cycle",
        ema={"decay": 0.9},
        epochs=4,
        evaluation={"every": 2},
        **head,
    )
    return {**spec, **changes}


def resume(backend: str, folder: Path, **arguments: Any) -> Run:
    return isotune.resume(
        folder, backend=backend, device="cpu", plugins=plugins(backend), **arguments
    )


def stopped(images: Path, tmp_path: Path) -> Path:
    """Returns the folder of a run that was stopped after five of twelve steps."""
    folder = tmp_path / "stopped"
    with pytest.raises(StoppedError):
        run("numpy", demanding("numpy", images), folder, observers=[StopAt(5)])
    return folder


def forged(folder: Path, which: str = "last", **parts: Any) -> None:
    """Replaces tensors or the manifest of a stopped run's checkpoint, with right hashes."""
    store = CheckpointStore(folder / "checkpoints")
    checkpoint = store.load(which)
    place = folder / "checkpoints" / checkpoint.manifest.name
    shutil.rmtree(place)
    place.mkdir()
    write_checkpoint(place, replace(checkpoint, **parts))

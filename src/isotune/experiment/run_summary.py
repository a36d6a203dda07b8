"""The content of ``summary.json``."""

from __future__ import annotations

import math
import os
import platform
import statistics
from typing import Any, Protocol

from isotune.errors import StoppedError
from isotune.interfaces.events import RunStatus
from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.summary import ModelSummary
from isotune.interfaces.versions import versions
from isotune.training.progress import Best
from isotune.training.session import Session


class Trained(Protocol):
    """What a summary tells of training, as :class:`isotune.training.loop.TrainingLoop` has it."""

    history: list[EpochMetrics]
    best: Best
    first_step_seconds: float
    step_seconds: list[float]


def initial_summary(session: Session) -> dict[str, Any]:
    """Returns the summary of a run that has not ended: it names the backend to resume with."""
    return {
        "name": session.spec.name,
        "state": "unfinished",
        "backend": session.backend.name,
        "device": session.backend.device,
    }


def final_summary(
    session: Session,
    layers: ModelSummary,
    loop: Trained,
    seconds: float,
    error: BaseException | None = None,
) -> dict[str, Any]:
    """Returns the summary of a run as plain data.

    Timings are in seconds except for ``step_ms``; ``first_step`` includes compilation and
    warm-up, ``step_ms`` is the median of all later training steps.

    Args:
        session: The experiment.
        layers: The model's layers; ``trainable`` counts what trains in the first epoch.
        loop: What has trained, and has ended.
        seconds: Wall time of training and validation.
        error: What ended the run early, or None.
    """
    backend, images, best = session.backend, session.images, loop.best.metrics
    return {
        "name": session.spec.name,
        "state": end_status(error),
        "stopped_by": None if error is None else f"{type(error).__name__}: {error}",
        "backend": backend.name,
        "device": backend.device,
        "threads": backend.threads(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
        },
        "versions": versions(backend),
        "classes": list(images.classes),
        "images": images.sizes(),
        "skipped": images.skipped,
        "parameters": {"all": layers.parameters, "trainable": layers.trainable},
        "epochs": len(loop.history),
        "best": best.as_json() if best else None,
        "timings": _timings(loop, seconds),
    }


def end_status(error: BaseException | None) -> RunStatus:
    """Returns how a run ended, given what ended it early, or None."""
    if error is None:
        return "finished"
    return "stopped" if isinstance(error, (StoppedError, KeyboardInterrupt)) else "failed"


def _timings(loop: Trained, seconds: float) -> dict[str, float | None]:
    steps = loop.step_seconds
    return {
        "total": seconds,
        "train": sum(m.train_seconds for m in loop.history),
        "val": sum(m.val_seconds for m in loop.history),
        "data_wait": sum(m.data_seconds for m in loop.history),
        "first_step": None if math.isnan(loop.first_step_seconds) else loop.first_step_seconds,
        "step_ms": statistics.median(steps) * 1000 if steps else None,
    }

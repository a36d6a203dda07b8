"""What ``summary.json`` holds."""

from __future__ import annotations

import math
import os
import platform
import statistics
from typing import Any

from isotune.data.images import Images
from isotune.interfaces.backend import Backend
from isotune.interfaces.summary import ModelSummary
from isotune.interfaces.versions import versions
from isotune.spec.experiment import ExperimentSpec
from isotune.training.loop import TrainingLoop


def started(spec: ExperimentSpec, backend: Backend) -> dict[str, Any]:
    """Returns the summary of a run until it ends, which tells who to resume it with."""
    return {
        "name": spec.name,
        "state": "unfinished",
        "backend": backend.name,
        "device": backend.device,
    }


def summarize(
    spec: ExperimentSpec,
    backend: Backend,
    images: Images,
    layers: ModelSummary,
    loop: TrainingLoop,
    seconds: float,
    stopped: BaseException | None = None,
) -> dict[str, Any]:
    """Returns the summary of a run as plain data.

    Timings are in seconds but for ``step_ms``; ``first_step`` holds compilation and warm-up,
    ``step_ms`` is the median of all other training steps.

    Args:
        layers: of the model; ``trainable`` counts what trains in the first epoch.
        seconds: wall time of training and validation.
        stopped: what ended the run early, or None.
    """
    best = loop.best
    return {
        "name": spec.name,
        "state": "finished" if stopped is None else "stopped",
        "stopped_by": None if stopped is None else f"{type(stopped).__name__}: {stopped}",
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
        "images": {"train": len(images.train), "val": len(images.val)},
        "skipped": images.skipped,
        "parameters": {"all": layers.parameters, "trainable": layers.trainable},
        "epochs": len(loop.history),
        "best": best.metrics.as_json() if best.metrics else None,
        "timings": _timings(loop, seconds),
    }


def _timings(loop: TrainingLoop, seconds: float) -> dict[str, float | None]:
    steps = loop.step_seconds
    return {
        "total": seconds,
        "train": sum(m.train_seconds for m in loop.history),
        "val": sum(m.val_seconds for m in loop.history),
        "data_wait": sum(m.data_seconds for m in loop.history),
        "first_step": None if math.isnan(loop.first_step_seconds) else loop.first_step_seconds,
        "step_ms": statistics.median(steps) * 1000 if steps else None,
    }

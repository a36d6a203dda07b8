"""Measures training steps on cached features, in the last epoch of a short run."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from isotune.bench.measure import spread
from isotune.bench.memory import peak_memory_mib
from isotune.bench.setting import Setting
from isotune.experiment.run import run
from isotune.interfaces.events import StepEnded
from isotune.interfaces.versions import versions
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins


class _Steps:
    """Records the end times of the steps of each epoch."""

    def __init__(self) -> None:
        self.ends: dict[int, list[float]] = {}

    def isotune_step_ended(self, event: StepEnded) -> None:
        self.ends.setdefault(event.epoch, []).append(time.perf_counter())


def measure_cached(
    setting: Setting, data: Path, plugins: Plugins = default_plugins
) -> dict[str, Any]:
    """Runs three epochs of one augmented view and measures the last one.

    A step is timed from the end of the previous one, so that loading features is included.

    Returns:
        Plain data like :func:`isotune.bench.measure.measure_step`, except that ``first_step`` is
        the run's first step and ``images_per_second`` is the rate of the whole last epoch.

    Raises:
        IsotuneError: the setting is invalid, or the images cannot be read.
    """
    steps = _Steps()
    with TemporaryDirectory(prefix="isotune-bench-") as folder:
        finished = run(
            setting.experiment(str(data)),
            backend=setting.backend,
            device=setting.device,
            output=Path(folder) / "run",
            observers=[steps],
            plugins=plugins,
            progress=False,
        )
        summary = finished.folder.summary()
    last = finished.history[-1]
    ends = steps.ends[last.epoch]
    seconds = [after - before for before, after in pairwise(ends)]
    seconds = seconds or [last.train_seconds]
    return {
        "device": finished.backend.device,
        "threads": finished.backend.threads(),
        "first_step": summary.timings.first_step,
        "step_ms": statistics.median(seconds) * 1e3,
        "step_ms_iqr": spread(seconds) * 1e3,
        "images_per_second": (summary.images.train or 0) / last.train_seconds,
        "peak_memory_mib": peak_memory_mib(),
        "versions": versions(finished.backend),
    }

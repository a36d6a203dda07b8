"""The ``isotune`` command with an observer that records the end times of steps and epochs.

    python benchmarks/timed_run.py TIMES.json run SPEC --backend torch --output FOLDER

Set ``BENCHMARK_BORN`` to the start time of the process (seconds since 1970), and
``BENCHMARK_STOP=first-step`` to end it after the first training step.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from isotune.hookspecs import hookimpl
from isotune.plugins import register

BORN = float(os.environ.get("BENCHMARK_BORN", time.time()))
SLOW = 3.0
"""Steps that take more than this multiple of the median are listed as slow."""


class Times:
    """Records the end times of steps and epochs, in seconds since the start of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.began = 0.0
        self.mark = 0.0
        self.steps: list[tuple[int, int, float]] = []
        self.epochs: list[float] = []
        self.first_step_at: float | None = None
        self.best: float | None = None
        self.timings: dict[str, Any] = {}

    @hookimpl
    def isotune_run_started(self, event: Any) -> None:
        self.began = self.mark = self.now()

    @hookimpl
    def isotune_step_ended(self, event: Any) -> None:
        now = self.now()
        if self.first_step_at is None:
            self.first_step_at = now
            if os.environ.get("BENCHMARK_STOP") == "first-step":
                self.write()
                os._exit(0)
        self.steps.append((event.epoch, event.step, now - self.mark))
        self.mark = now

    @hookimpl
    def isotune_epoch_ended(self, event: Any) -> None:
        now = self.now()
        self.epochs.append(now - (self.began + sum(self.epochs)))
        self.mark = now

    @hookimpl
    def isotune_run_finished(self, event: Any) -> None:
        self.timings = event.summary["timings"]
        self.best = event.summary["best"]["val_accuracy"]

    def now(self) -> float:
        return time.time() - BORN

    def write(self) -> None:
        """Writes all figures, and the unusually slow steps (compilation for example)."""
        seconds = [step[2] for step in self.steps] or [0.0]
        median = statistics.median(seconds)
        figures = {
            "epochs": self.epochs,
            "to_first_step": self.first_step_at,
            "best_val_accuracy": self.best,
            "slow_steps": [step for step in self.steps if step[2] > SLOW * median],
            "timings": self.timings,
        }
        self.path.write_text(json.dumps(figures), "utf-8")


def main() -> None:
    times = Times(Path(sys.argv[1]))
    register(times, "times")
    sys.argv = ["isotune", *sys.argv[2:]]
    from isotune.cli import main as isotune

    try:
        isotune()
    finally:
        times.write()


if __name__ == "__main__":
    main()

"""What the loop remembers between epochs: the best one so far, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass

from isotune.interfaces.events import EpochMetrics
from isotune.spec.checkpoint import EarlyStopping, Monitor
from isotune.training.accumulator import EpochAccumulator


@dataclass(frozen=True)
class Progress:
    """How far a run has come, at the end of an epoch or of an update within one.

    Attributes:
        history: Metrics of the epochs that have ended, from the first on.
        best: Metrics of the best of them whose weights are still there; None without any.
        accumulator: Sums of the epoch in progress; None between epochs.
    """

    history: tuple[EpochMetrics, ...] = ()
    best: EpochMetrics | None = None
    accumulator: EpochAccumulator | None = None


def improves(monitor: Monitor, value: float, best: float, min_delta: float = 0.0) -> bool:
    """Tells whether `value` is better than `best`: higher accuracy, lower loss."""
    return value > best + min_delta if monitor == "val_accuracy" else value < best - min_delta


def worst(monitor: Monitor) -> float:
    """Returns a value that any other improves on."""
    return float("-inf") if monitor == "val_accuracy" else float("inf")


@dataclass
class Best:
    """Keeps the first epoch with the best value of `monitor`, of those that were evaluated."""

    monitor: Monitor
    metrics: EpochMetrics | None = None

    def update(self, metrics: EpochMetrics) -> bool:
        """Returns True, and remembers the epoch, if it is the best so far."""
        best = getattr(self.metrics, self.monitor) if self.metrics else worst(self.monitor)
        if not improves(self.monitor, getattr(metrics, self.monitor), best):
            return False
        self.metrics = metrics
        return True


class Patience:
    """Counts evaluated epochs without improvement; without a spec it is never exhausted."""

    def __init__(self, spec: EarlyStopping | None) -> None:
        self._spec = spec
        self._best = worst(spec.monitor) if spec else 0.0
        self._waited = 0

    def exhausted(self, metrics: EpochMetrics) -> bool:
        """Takes an epoch in; tells whether the run should end."""
        if self._spec is None or not metrics.evaluated:
            return False
        value = getattr(metrics, self._spec.monitor)
        if improves(self._spec.monitor, value, self._best, self._spec.min_delta):
            self._best, self._waited = value, 0
        else:
            self._waited += 1
        return self._waited >= self._spec.patience

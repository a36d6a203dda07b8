"""How far a run has come, its best epoch so far, and early stopping."""

from __future__ import annotations

import math
from dataclasses import dataclass

from isotune.interfaces.metrics import EpochMetrics
from isotune.metrics import monitored
from isotune.spec.checkpoint import EarlyStopping
from isotune.spec.metrics import Monitor
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
    """Whether `value` beats `best` by more than `min_delta`.

    A value that is not finite beats nothing, and any that is finite beats one that is not.
    """
    if not math.isfinite(value):
        return False
    if not math.isfinite(best):
        return True
    higher = monitored(monitor).higher_is_better
    return value > best + min_delta if higher else value < best - min_delta


@dataclass
class Best:
    """Keeps the first epoch with the best value of `monitor`.

    An epoch without an evaluation, or whose evaluation leaves the value undefined or infinite, is
    never the best.
    """

    monitor: Monitor
    metrics: EpochMetrics | None = None

    def update(self, metrics: EpochMetrics) -> bool:
        """Keeps the epoch if it is the best so far; returns whether it is."""
        best = math.nan if self.metrics is None else self.metrics.value(self.monitor)
        if not improves(self.monitor, metrics.value(self.monitor), best):
            return False
        self.metrics = metrics
        return True


class Patience:
    """Counts epochs without improvement; without a spec it is never exhausted.

    Epochs in which the monitored metric has no finite value, such as those without an evaluation,
    do not count.
    """

    def __init__(self, spec: EarlyStopping | None) -> None:
        self._spec = spec
        self._best = math.nan
        self._waited = 0

    def exhausted(self, metrics: EpochMetrics) -> bool:
        """Counts an epoch; returns whether the run should end."""
        if self._spec is None or not math.isfinite(value := metrics.value(self._spec.monitor)):
            return False
        if improves(self._spec.monitor, value, self._best, self._spec.min_delta):
            self._best, self._waited = value, 0
        else:
            self._waited += 1
        return self._waited >= self._spec.patience

"""When a run's state is due to be saved, and what of it the loop knows."""

from __future__ import annotations

import time
from dataclasses import dataclass

from isotune.interfaces.metrics import EpochMetrics
from isotune.spec.parts import CheckpointSpec
from isotune.training.accumulator import EpochAccumulator


@dataclass(frozen=True)
class Snapshot:
    """How far a run has come, at the end of an epoch or of an update within one.

    Attributes:
        metrics: of the epoch, or of what there is of it.
        accumulator: of the epoch, if it goes on.
        history: the metrics of the epochs that have ended.
        best: those of the best of them so far.
        is_best: whether that is the one that has ended just now.
    """

    metrics: EpochMetrics
    accumulator: EpochAccumulator | None
    history: tuple[EpochMetrics, ...]
    best: EpochMetrics | None
    is_best: bool


class SavePoints:
    """Tells when a checkpoint is due, by epochs, steps and minutes."""

    def __init__(self, spec: CheckpointSpec) -> None:
        self._spec = spec
        self._newest = time.monotonic()

    def epoch_is_due(self, epoch: int, last: bool, best: bool) -> bool:
        """Tells whether the end of an epoch, from 1, is to be saved."""
        every = self._spec.every_epochs
        return last or best or (every is not None and epoch % every == 0)

    def steps_are_due(self, first: int, step: int) -> bool:
        """Tells whether the state after an update is to be saved.

        Args:
            first: the first of the steps that contribute to the update, from 0 in the run.
            step: the last of them. Between updates there is no state to save, so that what is
                due there waits for the next.
        """
        every = self._spec.every_steps
        if every is not None and (step + 1) // every > first // every:
            return True
        minutes = self._spec.every_minutes
        return minutes is not None and time.monotonic() - self._newest >= minutes * 60

    def saved(self) -> None:
        """Has the minutes counted from now on."""
        self._newest = time.monotonic()

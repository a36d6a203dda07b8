"""What a training loop asks of whoever saves its checkpoints."""

from __future__ import annotations

from typing import Protocol

from isotune.interfaces.metrics import EpochMetrics
from isotune.training.progress import Progress


class Saver(Protocol):
    """Saves checkpoints in process 0. It may write them beside training, from copies."""

    def begin(self, epoch: int) -> None:
        """Copies the state at the end of an epoch, which :meth:`save` is going to save.

        Args:
            epoch: The epoch, from 1, which is going to be evaluated before that.

        Raises:
            IsotuneError: The state cannot be saved, or an earlier one could not be.
        """

    def save(self, progress: Progress, metrics: EpochMetrics, is_best: bool) -> None:
        """Saves the current state, or that of which :meth:`begin` has made a copy.

        Args:
            progress: How far the run has come.
            metrics: Metrics of the epoch, or of what there is of it.
            is_best: Whether the epoch has just ended as the best so far.

        Raises:
            IsotuneError: The state cannot be saved, or an earlier one could not be.
        """

    def check(self) -> None:
        """Checks, without waiting, what has been written.

        Raises:
            IsotuneError: A checkpoint could not be saved.
        """

    def wait(self) -> None:
        """Waits until everything is saved.

        Raises:
            IsotuneError: A checkpoint could not be saved.
        """

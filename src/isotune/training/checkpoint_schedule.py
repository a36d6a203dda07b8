"""When a run's state is due to be saved."""

from __future__ import annotations

import time

from isotune.spec.checkpoint import CheckpointSpec


class CheckpointSchedule:
    """Says when a checkpoint is due, by epochs, steps and minutes."""

    def __init__(self, spec: CheckpointSpec) -> None:
        self._spec = spec
        self._last_saved = time.monotonic()

    def epoch_is_due(self, epoch: int, last: bool, best: bool) -> bool:
        """Whether the end of an epoch, counted from 1, is saved."""
        every = self._spec.every_epochs
        return last or best or (every is not None and epoch % every == 0)

    def step_is_due(self, first: int, step: int) -> bool:
        """Whether the state after an update is saved for the number of its steps.

        Args:
            first: The first step that contributes to the update, counted from 0 in the run.
            step: The last of them. Between updates there is no state to save, so what is due
                there waits for the next update.
        """
        every = self._spec.every_steps
        return every is not None and (step + 1) // every > first // every

    def clock_is_due(self) -> bool:
        """Whether the state after the next update is saved for the time that has passed."""
        minutes = self._spec.every_minutes
        return minutes is not None and time.monotonic() - self._last_saved >= minutes * 60

    def saved(self) -> None:
        """Restarts the timer of minute-based checkpoints."""
        self._last_saved = time.monotonic()

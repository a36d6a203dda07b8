"""Losses of single training steps, as they become known: one of some steps, never twice."""

from __future__ import annotations

from dataclasses import dataclass, field

from isotune.interfaces.events import EpochEnded, StepEnded

TOGETHER = 16
"""Number of losses that are sent together: a server takes one request about as fast as many."""


@dataclass
class StepLosses:
    """Collects the losses of single steps for a tracker.

    Attributes:
        steps: The step, counted from 1 over the whole run, up to which they were taken.
        waiting: Losses that were not taken yet, by their steps.
    """

    steps: int = 0
    waiting: dict[int, float] = field(default_factory=dict)

    def step_ended(self, event: StepEnded) -> bool:
        """Collects the loss that a step knows; returns whether it is time to take some."""
        self._add(event.loss_step, event.loss)
        return len(self.waiting) >= TOGETHER

    def epoch_ended(self, event: EpochEnded) -> None:
        """Collects the loss of an epoch's last step."""
        self._add(event.metrics.steps, event.loss)

    def take(self) -> dict[int, float]:
        """Returns what has been collected, in order, and forgets it."""
        taken, self.waiting = self.waiting, {}
        self.steps = max((self.steps, *taken))
        return taken

    def _add(self, step: int, loss: float | None) -> None:
        if loss is not None and step > self.steps:
            self.waiting[step] = loss

"""Loss over a growing learning rate, and the learning rates that it suggests."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SMOOTHING = 0.98
"""Weight of all earlier losses in the running mean: that of fastai's ``smooth_loss``."""

DIVERGED = 4.0
"""Times its lowest value that the smoothed loss reaches where training diverges: fastai's."""

SKIPPED_SHARE, SKIPPED_END = 10, 5
"""The first of so many equal parts of the steps, and the number of steps at the end, that suggest
nothing: those that fastai's ``lr_find`` leaves out."""

FEWEST = 6
"""Number of steps below which nothing is suggested."""


@dataclass
class LossCurve:
    """The losses of a range test, as far as it has come.

    Attributes:
        steps: Number of steps that are planned.
        rates: Learning rate of each step.
        losses: Loss of each step, before its update.
        smoothed: Running mean of the losses up to each step, with bias correction.
        diverged: Whether the test ended early, as the loss diverged or was no longer finite.
    """

    steps: int
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)
    diverged: bool = False
    _mean: float = 0.0

    def add(self, rate: float, loss: float) -> None:
        """Adds a step. A loss that is not finite is none: the test has diverged."""
        if not math.isfinite(loss):
            self.diverged = True
            return
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        self.rates.append(rate)
        self.losses.append(loss)
        self.smoothed.append(self._mean / (1 - SMOOTHING ** len(self.rates)))
        self.diverged = self.smoothed[-1] > DIVERGED * min(self.smoothed)

    def loss_at(self, rate: float) -> float:
        """Returns the smoothed loss at the learning rate of a step."""
        return self.smoothed[self.rates.index(rate)]

    def steepest(self) -> float | None:
        """Returns the learning rate at which the smoothed loss falls fastest, by its logarithm.

        Returns None if it falls nowhere. fastai calls it ``steep``.
        """
        rates, losses = self._considered()
        if len(rates) < FEWEST:
            return None
        changes = np.diff(losses)  # from each rate to the next, which is the same multiple of it
        lowest = int(changes.argmin())
        return float(rates[lowest]) if changes[lowest] < 0 else None

    def valley(self) -> float | None:
        """Returns the learning rate halfway through the longest fall of the smoothed loss.

        The longest fall is the longest sequence of steps, not necessarily neighbors, in which
        each has a lower loss than the one before. Returns None if there is none. It is fastai's
        ``valley``, the default of its ``lr_find``.
        """
        rates, losses = self._considered()
        if len(rates) < FEWEST:
            return None
        lengths = _falls(losses)
        last = int(lengths.argmax())
        length = int(lengths[last])
        if length == 1:
            return None
        third = length / 3
        return float(rates[max(last - length + int(third) + int(third / 2), 0)])

    def _considered(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        part = slice(self.steps // SKIPPED_SHARE, max(len(self.rates) - SKIPPED_END, 0))
        smoothed = np.round(self.smoothed, 9)  # a constant loss does not fall by rounding
        return np.array(self.rates)[part], smoothed[part]


def _falls(losses: Iterable[float]) -> NDArray[np.int64]:
    """Returns the length of the longest falling sequence that ends at each of N losses."""
    values = np.array(losses)
    lengths = np.ones(len(values), np.int64)
    for position in range(1, len(values)):
        higher = lengths[:position][values[:position] > values[position]]
        lengths[position] = higher.max(initial=0) + 1
    return lengths


def growing_rates(start: float, end: float, steps: int) -> list[float]:
    """Returns `steps` learning rates from `start` to `end`, each the same multiple of the last."""
    return [start * (end / start) ** (step / (steps - 1)) for step in range(steps)]

"""A learning rate that falls when a metric has stopped improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from isotune.spec.metrics import Monitor
from isotune.spec.schedule import EndedEpoch, Moment, MultipliedSchedule
from isotune.spec.values import NotNegative


class ReduceOnPlateauSchedule(MultipliedSchedule):
    """PyTorch's ``ReduceLROnPlateau``: multiplies the learning rate by `factor` on a plateau.

    Epochs in which the metric has no finite value, such as those without an evaluation, do not
    count.

    Attributes:
        monitor: The metric.
        factor: Factor of the learning rate.
        patience: Number of evaluated epochs without improvement in a row that change nothing; the
            next one lowers the learning rate. (Keras counts that one, too.)
        threshold: Smallest change that counts as an improvement.
        threshold_mode: Whether `threshold` is a share of the best value, or in units of the metric.
        cooldown: Number of evaluated epochs after a reduction before `patience` counts again.
        min_lr: Lower bound of the learning rate.
        eps: A reduction by less than this is left out.
    """

    name: Literal["reduce_on_plateau"]
    monitor: Monitor = "val_loss"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 10
    threshold: NotNegative = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: Annotated[int, Field(ge=0)] = 0
    min_lr: NotNegative = 0.0
    eps: NotNegative = 1e-8

    def monitored(self) -> Monitor:
        """Returns `monitor`."""
        return self.monitor

    def multiplier(self, moment: Moment) -> float:
        """Returns what the reductions after the epochs of the history amount to."""
        return self._reduced(moment.lr, moment.history) / moment.lr

    def _reduced(self, lr: float, history: Sequence[EndedEpoch]) -> float:
        sign, share, shift = self._improvement()
        best: float | None = None
        bad, cooling = 0, 0
        for value in [sign * epoch.value(self.monitor) for epoch in history]:
            if not math.isfinite(value):
                continue
            if best is None or value > best * share + shift:
                best, bad = value, 0
            else:
                bad += 1
            if cooling:
                cooling, bad = cooling - 1, 0
            if bad > self.patience:
                reduced = max(lr * self.factor, self.min_lr)
                lr = reduced if lr - reduced > self.eps else lr
                bad, cooling = 0, self.cooldown
        return lr

    def _improvement(self) -> tuple[int, float, float]:
        """Returns sign, share and shift: a value improves if it is above ``best * share + shift``.

        Both are metrics times the sign, which makes the higher one the better.
        """
        from isotune.metrics import monitored  # here, as it takes NumPy, which most specs do not

        sign = 1 if monitored(self.monitor).higher_is_better else -1
        if self.threshold_mode == "rel":
            return sign, 1 + sign * self.threshold, 0.0
        return sign, 1.0, self.threshold

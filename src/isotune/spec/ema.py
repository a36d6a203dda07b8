"""Exponential moving averages of a model's weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from isotune.spec.base import SpecModel


class EmaSpec(SpecModel):
    """Keeps an exponential moving average of the weights, which is what is evaluated and used.

    After each update, ``average = decay * average + (1 - decay) * weight``, for all parameters and
    BatchNorm statistics that training changes. Training itself goes on with the weights.

    Attributes:
        decay: How much of the average each update keeps, between 0 and 1. An average reaches back
            over about ``1 / (1 - decay)`` updates.
        warm_up: Whether the first updates keep less, ``min(decay, (1 + t) / (10 + t))`` after t
            earlier ones, so that the average leaves the initial weights behind.
    """

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    warm_up: bool = True

    def decay_at(self, updates: int) -> float:
        """Returns the decay of an update, given the number of updates before it.

        The warm-up is that of TensorFlow's ``tf.train.ExponentialMovingAverage``.
        """
        return min(self.decay, (1 + updates) / (10 + updates)) if self.warm_up else self.decay

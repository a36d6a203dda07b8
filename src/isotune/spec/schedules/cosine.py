"""A learning rate that falls along half a cosine."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from isotune.spec.schedule import Moment, MultipliedSchedule


class CosineSchedule(MultipliedSchedule):
    """Half a cosine from the learning rate to `final` times it, step by step.

    Attributes:
        epochs: Length in epochs, warm-up included; null takes the run's. In epochs after it, the
            learning rate stays as it is at its end.
        final: Factor of the learning rate at the end.
    """

    name: Literal["cosine"]
    epochs: Annotated[int, Field(ge=1)] | None = None
    final: Annotated[float, Field(ge=0, le=1)] = 0.0

    def multiplier(self, moment: Moment) -> float:
        """Returns ``final + (1 - final) * (1 + cos(pi * progress)) / 2``.

        Loshchilov and Hutter, "SGDR", 2017, without restarts.
        """
        wave = (1 + math.cos(math.pi * self.progress(moment))) / 2
        return self.final + (1 - self.final) * wave

    def length(self, epochs: int) -> int:
        """Returns the number of epochs of the half wave."""
        return self.epochs or epochs

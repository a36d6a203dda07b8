"""A learning rate that falls every so many epochs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from isotune.spec.schedule import Gamma, Moment, MultipliedSchedule


class StepSchedule(MultipliedSchedule):
    """Multiplies the learning rate by `gamma` after every `every` epochs.

    Attributes:
        every: Number of epochs from one change to the next.
        gamma: Factor.
    """

    name: Literal["step"]
    every: Annotated[int, Field(ge=1)]
    gamma: Gamma = 0.1

    def multiplier(self, moment: Moment) -> float:
        """Returns ``gamma ** (epoch // every)``: PyTorch's ``StepLR``, stepped once an epoch."""
        return float(self.gamma ** (moment.epoch // self.every))

"""A learning rate that falls after given epochs."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated, Literal

from pydantic import Field

from isotune.spec.base import AsTuple
from isotune.spec.schedule import Gamma, Moment, MultipliedSchedule


class MultiStepSchedule(MultipliedSchedule):
    """Multiplies the learning rate by `gamma` after each epoch of `milestones`.

    Attributes:
        milestones: Numbers of epochs, counted from 1.
        gamma: Factor.
    """

    name: Literal["multi_step"]
    milestones: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), AsTuple]
    gamma: Gamma = 0.1

    def multiplier(self, moment: Moment) -> float:
        """Returns `gamma` to the power of the milestones passed: PyTorch's ``MultiStepLR``."""
        return float(self.gamma ** bisect_right(sorted(self.milestones), moment.epoch))

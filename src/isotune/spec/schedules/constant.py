"""A constant learning rate."""

from __future__ import annotations

from typing import Literal

from isotune.spec.schedule import Moment, MultipliedSchedule


class ConstantSchedule(MultipliedSchedule):
    """The same learning rate throughout."""

    name: Literal["constant"] = "constant"

    def multiplier(self, moment: Moment) -> float:
        """Returns 1."""
        return 1.0

"""One cycle of the learning rate, with the momentum against it."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from isotune.spec.optimizer import OptimizerSpec
from isotune.spec.schedule import Moment, Rates, ScheduleSpec
from isotune.spec.values import Positive

Momentum = Annotated[float, Field(gt=0, lt=1)]


class _Phase(NamedTuple):
    """A part of the cycle: from where the one before it ends to step `end`.

    The learning rate goes from the first to the second of `rates`, the momentum likewise.
    """

    end: float
    rates: tuple[float, float]
    momenta: tuple[float, float]


class OneCycleSchedule(ScheduleSpec):
    """PyTorch's ``OneCycleLR``, step by step: up to the optimizer's ``lr``, then down to nearly 0.

    While the learning rate rises, the momentum (of Adam, the first of its betas) falls, and the
    other way round; both replace the optimizer's own. It begins with its own warm-up. Smith and
    Topin, "Super-Convergence", 2018.

    Attributes:
        epochs: Length in epochs; null takes the run's. In epochs after it, learning rate and
            momentum stay as they are at its end.
        pct_start: Share of the steps in which the learning rate rises.
        anneal: Shape of each rise and fall: half a cosine, or a straight line.
        div_factor: By what the optimizer's learning rate is divided at the first step.
        final_div_factor: By what the first step's learning rate is divided at the last step.
        three_phase: Whether the learning rate first falls to the first step's, as long as it has
            risen, and then in a third phase to the last step's.
        cycle_momentum: Whether the momentum changes, too.
        base_momentum: Momentum at the highest learning rate.
        max_momentum: Momentum at the first and the last step.
    """

    name: Literal["one_cycle"]
    epochs: Annotated[int, Field(ge=1)] | None = None
    pct_start: Annotated[float, Field(ge=0, le=1)] = 0.3
    anneal: Literal["cos", "linear"] = "cos"
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4
    three_phase: bool = False
    cycle_momentum: bool = True
    base_momentum: Momentum = 0.85
    max_momentum: Momentum = 0.95

    @model_validator(mode="after")
    def _momentum_falls_first(self) -> OneCycleSchedule:
        if self.base_momentum > self.max_momentum:
            raise ValueError("base_momentum should be at most max_momentum")
        return self

    def length(self, epochs: int) -> int:
        """Returns the number of epochs of the cycle."""
        return self.epochs or epochs

    def check_optimizer(self, optimizer: OptimizerSpec) -> None:
        """Checks that there is a momentum to change.

        Raises:
            ValueError: The optimizer has none.
        """
        if self.cycle_momentum and not optimizer.has_momentum:
            raise ValueError(
                f"one_cycle changes the momentum, but optimizer {optimizer.name} has none: set"
                " optimizer.momentum, as to 0.9, or cycle_momentum: false"
            )

    def rates(self, moment: Moment) -> Rates:
        """Returns the values of PyTorch's ``OneCycleLR``.

        Where PyTorch divides by zero, as `pct_start` leaves one step to rise in, that step has the
        highest learning rate. So has the only step of a cycle of one, where PyTorch's is the
        lowest.
        """
        steps = self.length(moment.epochs) * moment.steps_per_epoch
        step = min(moment.step, steps - 1) if steps > 1 else -1
        start = 0.0
        *others, last = self._phases(moment.lr, steps)
        for phase in others:
            if step <= phase.end:
                break
            start = phase.end
        else:
            phase = last
        share = (step - start) / (phase.end - start) if phase.end > start else 1.0
        momentum = self._between(*phase.momenta, share) if self.cycle_momentum else None
        return Rates(self._between(*phase.rates, share), momentum)

    def _phases(self, highest: float, steps: int) -> list[_Phase]:
        first = highest / self.div_factor
        low, high = self.base_momentum, self.max_momentum
        rise = _Phase(self.pct_start * steps - 1, (first, highest), (high, low))
        final = first / self.final_div_factor
        if not self.three_phase:
            return [rise, _Phase(steps - 1, (highest, final), (low, high))]
        fall = _Phase(2 * self.pct_start * steps - 2, (highest, first), (low, high))
        return [rise, fall, _Phase(steps - 1, (first, final), (high, high))]

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)

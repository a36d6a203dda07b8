"""The schedule of a spec. What each kind is: :mod:`isotune.spec.schedules`, and plugins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol

from pydantic import Field, SerializeAsAny

from isotune.spec.base import KindOf, Shorthand, SpecModel, model_registry
from isotune.spec.metrics import Monitor
from isotune.spec.optimizer import OptimizerSpec
from isotune.spec.values import Positive

Gamma = Annotated[float, Field(gt=0, le=1)]
"""Factor of the learning rate from one level to the next."""


class EndedEpoch(Protocol):
    """An epoch that has ended: an :class:`isotune.interfaces.metrics.EpochMetrics`."""

    def value(self, name: str) -> float:
        """Returns a metric; NaN if the epoch does not have it."""


@dataclass(frozen=True)
class Moment:
    """What a schedule knows before a training step.

    Attributes:
        lr: The optimizer's learning rate.
        step: Number of the step, from 0 over the whole run.
        steps_per_epoch: Number of training steps per epoch.
        epochs: Number of epochs of the whole run.
        history: Metrics of the epochs that have ended, from the first on.
    """

    lr: float
    step: int
    steps_per_epoch: int
    epochs: int
    history: Sequence[EndedEpoch] = ()

    @property
    def epoch(self) -> int:
        """Number of epochs that are complete."""
        return self.step // self.steps_per_epoch


class Rates(NamedTuple):
    """What a schedule decides for one update.

    Attributes:
        learning_rate: The learning rate.
        momentum: The momentum; of Adam, beta1. None for the optimizer's own.
    """

    learning_rate: float
    momentum: float | None = None


class ScheduleSpec(SpecModel):
    """A schedule. Each kind is a subclass with a field ``name: Literal["..."]``.

    It is a pure function of the step and of the history, so that a run resumes anywhere.
    """

    @abstractmethod
    def rates(self, moment: Moment) -> Rates:
        """Returns learning rate and momentum of a training step."""

    def length(self, epochs: int) -> int:
        """Returns the number of epochs from begin to end of the schedule, in a run of `epochs`."""
        return epochs

    def monitored(self) -> Monitor | None:
        """Returns the metric in its field ``monitor``; None if it looks at no metric."""
        return None

    def check_optimizer(self, optimizer: OptimizerSpec) -> None:
        """Checks that the optimizer has what the schedule changes.

        Raises:
            ValueError: It does not have it.
        """
        return


class Warmup(SpecModel):
    """Linear warm-up from ``start`` to 1, multiplied with any schedule.

    Attributes:
        epochs: Length in epochs; a part of one is allowed.
        start: Factor of the learning rate at the first step.
    """

    epochs: Positive
    start: Annotated[float, Field(ge=0, lt=1)] = 0.1


class MultipliedSchedule(ScheduleSpec):
    """A schedule that multiplies the optimizer's learning rate, after a warm-up.

    Attributes:
        warmup: Linear warm-up before it; null for none.
    """

    warmup: Warmup | None = None

    @abstractmethod
    def multiplier(self, moment: Moment) -> float:
        """Returns the factor of the learning rate, without warm-up."""

    def progress(self, moment: Moment) -> float:
        """Returns the share of the schedule's steps that are done, without warm-up, in [0, 1]."""
        warmup = self._warmup_steps(moment)
        steps = self.length(moment.epochs) * moment.steps_per_epoch
        return min(max((moment.step - warmup) / max(steps - warmup, 1), 0.0), 1.0)

    def rates(self, moment: Moment) -> Rates:
        """Returns the learning rate, and None for the momentum."""
        lr, warmup = moment.lr, self._warmup_steps(moment)
        if self.warmup and moment.step < warmup:
            lr *= self.warmup.start + (1 - self.warmup.start) * moment.step / warmup
        return Rates(lr * self.multiplier(moment))

    def _warmup_steps(self, moment: Moment) -> float:
        return self.warmup.epochs * moment.steps_per_epoch if self.warmup else 0.0


SCHEDULES = model_registry("schedule", ScheduleSpec, "name")  # type: ignore[type-abstract]
"""All schedules."""

AnySchedule = Annotated[SerializeAsAny[ScheduleSpec], KindOf(SCHEDULES, "name"), Shorthand("name")]
"""A schedule of the kind that its ``name`` says; its name alone is enough without options."""

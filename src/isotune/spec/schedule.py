"""The learning-rate schedule of a spec: a pure function of the step, so that runs resume."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from typing import Annotated, Literal, Union

from pydantic import Field

from isotune.spec.base import AsTuple, Shorthand, SpecModel
from isotune.spec.values import Positive

Gamma = Annotated[float, Field(gt=0, le=1)]


class Warmup(SpecModel):
    """Linear warm-up from ``start`` to 1, multiplied with any schedule.

    Attributes:
        epochs: Length in epochs; a part of one is allowed.
        start: Factor of the learning rate at the first step.
    """

    epochs: Positive
    start: Annotated[float, Field(ge=0, lt=1)] = 0.1


class _Schedule(SpecModel):
    """A schedule.

    Attributes:
        warmup: Linear warm-up before it; null for none.
    """

    warmup: Warmup | None = None

    @abstractmethod
    def factor(self, epoch: int, progress: float) -> float:
        """Returns the factor of the learning rate, without warm-up.

        Args:
            epoch: Number of epochs that are complete.
            progress: Share of the schedule's steps that are done, warm-up left out, in [0, 1].
        """

    def length(self, epochs: int) -> int:
        """Returns the number of epochs from no progress to all of it, in a run of `epochs`."""
        return epochs

    def learning_rate(self, base: float, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Returns the learning rate of one training step.

        Args:
            base: The optimizer's learning rate.
            step: Number of the step, from 0 over the whole run.
            steps_per_epoch: Number of training steps per epoch.
            epochs: Number of epochs of the whole run.
        """
        epochs = self.length(epochs)
        warmup = self.warmup.epochs * steps_per_epoch if self.warmup else 0.0
        if self.warmup and step < warmup:
            base *= self.warmup.start + (1 - self.warmup.start) * step / warmup
        done = (step - warmup) / max(epochs * steps_per_epoch - warmup, 1)
        return base * self.factor(step // steps_per_epoch, min(max(done, 0.0), 1.0))


class ConstantSchedule(_Schedule):
    """The same learning rate throughout."""

    name: Literal["constant"] = "constant"

    def factor(self, epoch: int, progress: float) -> float:
        """Returns 1."""
        return 1.0


class StepSchedule(_Schedule):
    """Multiplies the learning rate by `gamma` after every `every` epochs.

    Attributes:
        every: Number of epochs from one change to the next.
        gamma: Factor.
    """

    name: Literal["step"]
    every: Annotated[int, Field(ge=1)]
    gamma: Gamma = 0.1

    def factor(self, epoch: int, progress: float) -> float:
        """Returns ``gamma ** (epoch // every)``: PyTorch's ``StepLR``, stepped once an epoch."""
        return float(self.gamma ** (epoch // self.every))


class MultiStepSchedule(_Schedule):
    """Multiplies the learning rate by `gamma` after each epoch of `milestones`.

    Attributes:
        milestones: Numbers of epochs, counted from 1.
        gamma: Factor.
    """

    name: Literal["multi_step"]
    milestones: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), AsTuple]
    gamma: Gamma = 0.1

    def factor(self, epoch: int, progress: float) -> float:
        """Returns `gamma` to the power of the milestones passed: PyTorch's ``MultiStepLR``."""
        return float(self.gamma ** bisect_right(sorted(self.milestones), epoch))


class CosineSchedule(_Schedule):
    """Half a cosine from the learning rate to `final` times it, step by step.

    Attributes:
        epochs: Length in epochs, warm-up included; null takes the run's. In epochs after it, the
            learning rate stays as it is at its end.
        final: Factor of the learning rate at the end.
    """

    name: Literal["cosine"]
    epochs: Annotated[int, Field(ge=1)] | None = None
    final: Annotated[float, Field(ge=0, le=1)] = 0.0

    def factor(self, epoch: int, progress: float) -> float:
        """Returns ``final + (1 - final) * (1 + cos(pi * progress)) / 2``.

        Loshchilov and Hutter, "SGDR", 2017, without restarts.
        """
        wave = (1 + math.cos(math.pi * progress)) / 2
        return self.final + (1 - self.final) * wave

    def length(self, epochs: int) -> int:
        """Returns the number of epochs of the half wave."""
        return self.epochs or epochs


ScheduleSpec = Annotated[
    Union[ConstantSchedule, StepSchedule, MultiStepSchedule, CosineSchedule],
    Field(discriminator="name"),
    Shorthand("name"),
]

"""The learning-rate schedule of a spec. What each computes: :mod:`isotune.training.schedule`."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field

from isotune.spec.base import AsTuple, Shorthand, SpecModel

Gamma = Annotated[float, Field(gt=0, le=1)]


class Warmup(SpecModel):
    """Linear warm-up, on top of any schedule.

    Attributes:
        epochs: Length in epochs; a part of one is allowed.
        start: Factor of the learning rate at the first step.
    """

    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    start: Annotated[float, Field(ge=0, lt=1)] = 0.1


class _Schedule(SpecModel):
    """A schedule.

    Attributes:
        warmup: Linear warm-up before it; null for none.
    """

    warmup: Warmup | None = None


class ConstantSchedule(_Schedule):
    """The same learning rate throughout."""

    name: Literal["constant"] = "constant"


class StepSchedule(_Schedule):
    """Multiplies the learning rate by `gamma` after every `every` epochs.

    Attributes:
        every: Number of epochs from one change to the next.
        gamma: Factor.
    """

    name: Literal["step"]
    every: Annotated[int, Field(ge=1)]
    gamma: Gamma = 0.1


class MultiStepSchedule(_Schedule):
    """Multiplies the learning rate by `gamma` after each epoch of `milestones`.

    Attributes:
        milestones: Numbers of epochs, counted from 1.
        gamma: Factor.
    """

    name: Literal["multi_step"]
    milestones: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), AsTuple]
    gamma: Gamma = 0.1


class CosineSchedule(_Schedule):
    """Half a cosine from the learning rate to `final` times it, step by step.

    Attributes:
        final: Factor of the learning rate at the end.
    """

    name: Literal["cosine"]
    final: Annotated[float, Field(ge=0, le=1)] = 0.0


ScheduleSpec = Annotated[
    Union[ConstantSchedule, StepSchedule, MultiStepSchedule, CosineSchedule],
    Field(discriminator="name"),
    Shorthand("name"),
]

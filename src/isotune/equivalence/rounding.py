"""What difference of a value is taken for rounding, by how much each side differs from itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from isotune.equivalence.sampling import Values, difference
from isotune.equivalence.trace import STAGES, Side, TracedStep

FACTOR = 10.0
"""How many yardsticks a difference may be.

A nudge of the images changes what is rounded, not how: another kernel adds up in another order, and
adds its own rounding in every layer, while the nudge is one change at the start.
"""

FLOOR = 32.0
"""How many units of rounding a difference may be, whatever the yardstick is: the sum of a layer's
many products in another order differs by some units even where a nudge changes nothing."""

UNITS: Mapping[str, float] = {"fp32": 2.0**-24, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}
"""Unit of rounding by precision: 2 to the minus number of significant bits."""

SMALLEST = 2.0**-120
"""Numbers below are 0 on a device that flushes denormal numbers to zero, or of a gradient that was
scaled for float16: arrays that are smaller are equal."""

FEW = 64
"""A yardstick of fewer samples is a matter of luck: that of the value before counts, too."""


@dataclass(frozen=True)
class Rounding:
    """The difference of a value between two sides, beside what may be rounding.

    Attributes:
        key: The value's name.
        difference: Relative difference: of the samples or, where they miss it, of the whole.
        yardstick: The larger one of what the two sides differ from themselves.
        allowed: The largest difference that is taken for rounding.
    """

    key: str
    difference: float
    yardstick: float
    allowed: float


def unit(sides: Sequence[Side]) -> float:
    """Returns the unit of rounding of the coarser side; float32's for a precision not known."""
    return max(UNITS.get(side.precision, UNITS["fp32"]) for side in sides)


def distance(one: Values, other: Values) -> float:
    """Returns the relative difference of two values of the same shape.

    It is the samples' or, if that is larger, what norm, mean and largest value show of the whole:
    by the triangle inequality, none of them differs by more than the whole arrays do.
    """
    size = max(one.norm, other.norm)
    if not math.isfinite(size):
        return difference(one.samples, other.samples)
    if size <= SMALLEST:
        return 0.0
    whole = max(
        abs(one.norm - other.norm),
        abs(one.mean - other.mean) * math.sqrt(math.prod(one.shape)),
        abs(one.largest - other.largest),
    )
    largest = max(float(abs(each.samples).max(initial=0)) for each in (one, other))
    sampled = difference(one.samples, other.samples) if largest > SMALLEST else 0.0
    return max(sampled, whole / size)


def in_order(values: Mapping[str, object]) -> Iterator[str]:
    """Yields the names of values by stage and, within a stage, in order of execution."""
    names = {stage: [name for name in values if name.startswith(f"{stage}/")] for stage in STAGES}
    for stage in STAGES:
        yield from sorted(names[stage], key=lambda name: name == "loss/loss")


def comparable(one: TracedStep, other: TracedStep) -> tuple[list[str], list[str]]:
    """Returns the values that both sides have in the same shape, and those that they do not."""
    both: list[str] = []
    missing: list[str] = []
    for name in in_order({**one.values, **other.values}):
        first, second = one.values.get(name), other.values.get(name)
        same = first is not None and second is not None and first.shape == second.shape
        (both if same else missing).append(name)
    return both, missing


def roundings(one: TracedStep, other: TracedStep, units: float) -> list[Rounding]:
    """Returns the differences of the values that both sides have, in order of execution.

    Args:
        one: A step of one side.
        other: The same step of the other side.
        units: Unit of rounding.
    """
    found: list[Rounding] = []
    before, stage = 0.0, ""
    for name in comparable(one, other)[0]:
        first, second = one.values[name], other.values[name]
        if name.partition("/")[0] != stage:
            stage = name.partition("/")[0]
            before = before if stage == "loss" else 0.0
        yardstick = max(one.yardstick(name), other.yardstick(name))
        if first.samples.size < FEW or stage == "backward":
            yardstick = max(yardstick, before)
        before = yardstick
        floor = FLOOR * units
        if name == "loss/loss":
            floor *= _cancellation(one, other)
        allowed = max(FACTOR * yardstick, floor)
        found.append(Rounding(name, distance(first, second), yardstick, allowed))
    return found


def _cancellation(one: TracedStep, other: TracedStep) -> float:
    """Returns how much larger the logits are than a loss, which is a difference of them."""
    logits = [step.values["loss/logits"] for step in (one, other) if "loss/logits" in step.values]
    loss = max(step.values["loss/loss"].norm for step in (one, other))
    return max(1.0, *(each.largest for each in logits), 1.0) / max(min(loss, 1.0), SMALLEST)

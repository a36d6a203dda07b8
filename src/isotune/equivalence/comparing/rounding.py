"""What difference of a value is taken for rounding, by how much each side differs from itself.

Three things make a difference larger than a few yardsticks though both sides compute the same:

- Where an activation function or a maximum has a kink, an input that is zero except for rounding
  has one gradient or the other: a few elements, as large as any, and everything that is computed of
  them. Whether a nudge meets one is a matter of luck (:mod:`isotune.equivalence.comparing.flips`).
- A parameter is rounded after it is updated, and the update is small beside it.
- What an optimizer makes of a gradient can differ more than the gradient: Adam's first update of an
  element has the sign of its gradient, however small
  (:mod:`isotune.equivalence.comparing.updating`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from isotune.equivalence.comparing.flips import Flips, may_flip
from isotune.equivalence.comparing.updating import CARRIED, SLOT, UPDATED, clipping, unexplained
from isotune.equivalence.traces.sampling import SAMPLES, Values, difference
from isotune.equivalence.traces.trace import STAGES, Side, TracedStep, key, path_of
from isotune.interfaces.tracer import Layer
from isotune.spec.values import Precision

FACTOR = 10.0
"""How many yardsticks a difference may be.

A nudge of the images changes what is rounded, not how: another kernel adds up in another order, and
adds its own rounding in every layer, while the nudge is one change at the start. Between the
backends on a CPU, outputs differ by up to 4 yardsticks.
"""

FLOOR = 32 * 2.0**-24
"""Relative difference that is rounding in float32, whatever the yardstick is: the sum of a layer's
many products in another order differs by some units even where a nudge changes nothing."""

COARSE_FACTOR = 4.0
"""The same in a coarser precision than float32, if both sides compute in it.

Sums are made in float32 there, too, and rounded once: what another order changes is mostly rounded
away, while the nudge is an ulp of the precision, a large change. Between bfloat16 kernels of
PyTorch on a CPU, values differ by up to 1 yardstick.
"""

MIXED_FACTOR = 30.0
"""The same between sides of different precisions.

Every layer of one side is rounded, while the nudge is at the start: where a channel hardly varies,
its BatchNorm makes of that many times what it makes of a nudge. Real weights of MobileNetV2 differ
by up to 3 yardsticks in bfloat16, and by 10 in float16. Layers alone show no more than 1.5, and are
what tells faults from rounding here: of them COARSE_FACTOR is allowed.
"""

COARSE_FLOOR = 2.0
"""How many units of rounding of a coarser precision a difference may be, whatever the yardstick."""

UNITS: Mapping[str, float] = {"fp32": 2.0**-24, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}
"""Unit of rounding by precision: 2 to the minus number of significant bits."""

SMALLEST = 2.0**-120
"""Numbers below are 0 on a device that flushes denormal numbers to zero, or of a gradient that was
scaled for float16: arrays that are smaller are equal."""

FEW = 64
"""A yardstick of fewer samples is a matter of luck: that of the value before counts, too."""


@dataclass(frozen=True)
class Tolerance:
    """What difference is taken for rounding, in the precision in which layers compute.

    Attributes:
        factor: How many yardsticks it may be.
        floor: What it may be in any case.
        alone: How many yardsticks it may be where a layer runs alone.
    """

    factor: float = FACTOR
    floor: float = FLOOR
    alone: float = FACTOR

    def of(self, yardstick: float) -> float:
        """Returns the largest relative difference that is rounding."""
        return max(self.factor * yardstick, self.floor)

    def of_layer(self, yardstick: float) -> float:
        """Returns the same where a layer runs alone."""
        return max(self.alone * yardstick, self.floor)


def ulps_of(precision: Precision) -> int:
    """Returns how many float32 numbers the neighbor of a number in a precision is away."""
    return round(UNITS[precision] / UNITS["fp32"])


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


FULL = Tolerance()
"""That of float32, in which all precisions have loss, parameters and optimizer."""


def unit(precision: str) -> float:
    """Returns the unit of rounding of a precision; float32's for one that is not known."""
    return UNITS.get(precision, UNITS["fp32"])


def tolerance_of(sides: Sequence[Side]) -> Tolerance:
    """Returns the tolerance for two sides, by the coarser precision."""
    precisions = {side.precision for side in sides}
    largest = max(map(unit, precisions))
    if largest == UNITS["fp32"]:
        return FULL
    factor = COARSE_FACTOR if len(precisions) == 1 else MIXED_FACTOR
    return Tolerance(factor, COARSE_FLOOR * largest, COARSE_FACTOR)


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


def _scaled(one: Values, other: Values) -> float:
    """Returns the relative difference of the norms of two large arrays; 0 of small ones."""
    size = max(one.norm, other.norm)
    if math.prod(one.shape) < SAMPLES or not 0 < size < math.inf:
        return 0.0
    return abs(one.norm - other.norm) / size


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


TURNED, FLIPPED = 4.0, 1e-3
"""Flips change a gradient's elements, hardly its norm: where they may change it by more than
FLIPPED, its norm may change by a TURNED-th. Between the backends it changes by a sixteenth."""


class Roundings:
    """The differences of the values that both sides have.

    Attributes:
        all: The differences, in order of execution.

    Args:
        one: A step of one side.
        other: The same step of the other side.
        tolerance: What is taken for rounding.
        layers: The layers of both sides' models.
    """

    def __init__(
        self,
        one: TracedStep,
        other: TracedStep,
        tolerance: Tolerance = FULL,
        layers: Sequence[Layer] = (),
    ) -> None:
        self._one, self._other, self._tolerance = one, other, tolerance
        self._containers = {layer.path for layer in layers if not layer.leaf}
        self._flips = Flips(may_flip(layers))
        self._found: dict[str, Rounding] = {}
        self._clipped = clipping(one, other)
        before, last = 0.0, ""
        for name in comparable(one, other)[0]:
            stage = name.partition("/")[0]
            if stage not in (last, "loss"):  # the loss is made of outputs
                before = 0.0
            last = stage
            yardstick = max(one.yardstick(name), other.yardstick(name))
            if one.values[name].samples.size < FEW:
                yardstick = max(yardstick, before)
            before = yardstick
            self._found[name] = self._rounding(name, yardstick)
        self.all = list(self._found.values())

    def locally_allowed(self, name: str, yardstick: float) -> float:
        """Returns the largest difference that is rounding where a layer runs alone.

        A layer without parts has the same inputs on both sides, so that none of their elements
        flips; within a container, elements may.

        Args:
            name: Name of a value of the layer.
            yardstick: The larger one of what the two sides differ from themselves.
        """
        stage, _, of = name.partition("/")
        path = path_of(of) if stage == "backward" else of.rpartition(".")[0]
        allowed = self._tolerance.of_layer(yardstick)
        if stage in ("backward", "gradient") and path in self._containers:
            return max(allowed, self._flips.within(path))
        return allowed

    def _rounding(self, name: str, yardstick: float) -> Rounding:
        first, second = self._one.values[name], self._other.values[name]
        stage, _, of = name.partition("/")
        apart, allowed = distance(first, second), self._tolerance.of(yardstick)
        if name == "loss/loss":
            allowed = max(allowed, self._tolerance.floor * self._cancellation())
        elif stage == "backward":
            self._pass(of, first)
            allowed = max(allowed, self._flips.allowed)
            scaled = _scaled(first, second)
            if scaled > allowed / TURNED > FLIPPED:
                apart, allowed = scaled, allowed / TURNED
        elif stage == "gradient":
            # Elements that flip in layers before are not in a layer's gradients yet.
            layer = self._found.get(key("backward", of.rpartition(".")[0]))
            allowed = max(allowed, layer.allowed if layer else self._flips.allowed)
        elif stage == "update" and self._one.step == 0:
            left = unexplained(self._one, self._other, of, self._clipped)
            if left is not None:
                apart, allowed = left, max(UPDATED, self._unseen(of))
        elif stage == "state" and "/" in of:
            parameter = of.partition("/")[0]
            gradient = self._found.get(key("gradient", parameter))
            moved = 4 * gradient.difference if gradient else 0.0
            allowed = max(allowed, SLOT, moved, self._unseen(parameter))
        elif stage == "state":
            allowed = max(allowed, CARRIED * self._updated(of))
        return Rounding(name, apart, yardstick, allowed)

    def _unseen(self, parameter: str) -> float:
        """Returns what the gradient of a step may differ by from the one that was watched.

        That is none where the watched step is the one that trains, or has its very logits.
        """
        if all(step.watched or step.same_logits for step in (self._one, self._other)):
            return 0.0
        gradient = self._found.get(key("gradient", parameter))
        return gradient.allowed if gradient else self._flips.allowed

    def _updated(self, parameter: str) -> float:
        """Returns the relative difference of a parameter that is its first update's."""
        at, after = key("update", parameter), key("state", parameter)
        if self._one.step != 0 or any(at not in step.values for step in (self._one, self._other)):
            return 0.0
        pairs = [(step.values[at], step.values[after]) for step in (self._one, self._other)]
        (update, state), (other, other_state) = pairs
        size = max(state.norm, other_state.norm)
        moved = distance(update, other) * max(update.norm, other.norm)
        return moved / size if 0 < size < math.inf else 0.0

    def _pass(self, call: str, gradient: Values) -> None:
        """Counts the elements of an output that may flip in the layer that takes it."""
        output, logits = self._found.get(key("forward", call)), self._one.values.get("loss/logits")
        if output is None or (logits is not None and logits.shape == gradient.shape):
            return  # logits have no kink
        noise = max(output.yardstick, min(output.difference, output.allowed))
        self._flips.passed(path_of(call), gradient, noise)

    def _cancellation(self) -> float:
        """Returns how much larger the logits are than a loss, which is a difference of them."""
        steps = [step.values for step in (self._one, self._other)]
        logits = [values["loss/logits"].largest for values in steps if "loss/logits" in values]
        loss = max(values["loss/loss"].norm for values in steps)
        return max(1.0, *logits, 1.0) / max(min(loss, 1.0), SMALLEST)

"""Watched passes: an update as it is, and as it is when something changes that ought not to matter.

All of them start from the same state, and what they compute is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np

from isotune.equivalence.comparing.rounding import ulps_of
from isotune.equivalence.recording.live import Change, Computed, LiveSide, Snapshot, Step
from isotune.equivalence.recording.watching import Both, StepRecorder, Watching
from isotune.equivalence.traces.sampling import Values, difference, values_of
from isotune.equivalence.traces.trace import STAGES, key
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.names import is_parameter
from isotune.interfaces.tracer import Array, Tracer
from isotune.interfaces.trainer import TrainingPlan
from isotune.randomness import Purpose, coin_flips, stream

ULP = "1 ulp"
"""Name of the change that moves every number of a batch to a neighboring one.

What neighbors are depends on the precision: coarser ones would round a neighboring float32 away."""


@dataclass(frozen=True, eq=False)
class Variant:
    """A change that ought not to matter.

    Attributes:
        within: Context in which the trainer computes in another way.
        change: Changes the batches of the first update.
    """

    within: AbstractContextManager[object] = field(default_factory=nullcontext)
    change: Change | None = None


def variants_of(live: LiveSide, every: bool) -> dict[str, Variant]:
    """Returns the changes by name: that of the batch, and the tracer's unless `every` is False."""
    tracer = live.tracer

    def nudge(step: Step, parts: Sequence[DeviceBatch]) -> list[DeviceBatch]:
        return nudged(tracer, live.plan, step, parts)

    others = tracer.variants(live.trainer) if every else {}
    return {ULP: Variant(change=nudge), **{name: Variant(each) for name, each in others.items()}}


def nudged(
    tracer: Tracer, plan: TrainingPlan, step: Step, parts: Sequence[DeviceBatch]
) -> list[DeviceBatch]:
    """Returns the parts of a batch with every number moved by one ulp of the plan's precision.

    Whether up or down is decided by seed, step and place in the whole batch alone.
    """
    shape = (len(step.batch), *parts[0].images.shape[1:])
    up = coin_flips(stream(plan.seed, Purpose.NUDGE, step.number), math.prod(shape)).reshape(shape)
    ulps, result = ulps_of(plan.precision), []
    for each, part in zip(step.plans, parts, strict=True):
        if each.part is None:
            result.append(tracer.nudged(part, up, ulps))
        elif part.size:
            result.append(tracer.nudged(part, up[each.part.start : each.part.stop], ulps))
        else:
            result.append(part)
    return result


@dataclass(frozen=True, eq=False)
class Watched:
    """What the watched passes of a step have computed.

    Attributes:
        computed: Loss and logits.
        same: Whether the tracer says that watching changes no byte.
        values: All values by key, in order of execution; without sums of updates and states.
        yardsticks: As in a :class:`isotune.equivalence.traces.trace.TracedStep`.
    """

    computed: Computed
    same: bool
    values: Mapping[str, Values]
    yardsticks: Mapping[str, Mapping[str, float]]


def watch(
    live: LiveSide,
    update: Sequence[Step],
    before: Snapshot,
    variants: Mapping[str, Variant],
    also: StepRecorder | None = None,
) -> list[Watched]:
    """Watches an update once as it is, and once for each variant; the state is the same after it.

    Args:
        live: The side.
        update: The update's steps.
        before: The present state.
        variants: Changes that ought not to matter, by name.
        also: Is reported the arrays of the update as it is, too.

    Returns:
        What was computed in each step.
    """
    base = _watched(live, update, before, Variant(), Watching(sums=True), also)
    yardsticks: list[dict[str, dict[str, float]]] = [{} for _ in update]
    for name, variant in variants.items():
        live.restore(before)
        changed = _watched(live, update, before, variant, Watching(sums=False))
        for each, one, other in zip(yardsticks, base, changed, strict=True):
            each[name] = differences(one.values, other.values)
    live.restore(before)
    return [replace(step, yardsticks=each) for step, each in zip(base, yardsticks, strict=True)]


def _watched(
    live: LiveSide,
    update: Sequence[Step],
    before: Snapshot,
    variant: Variant,
    watching: Watching,
    also: StepRecorder | None = None,
) -> list[Watched]:
    recorder = watching if also is None else Both(watching, also)
    computed, changes = list[Computed](), list[dict[str, Values]]()
    with variant.within, live.tracer.watch(live.trainer, recorder) as same:
        for step in update:
            computed.append(live.train(step, recorder.begin, variant.change))
            after = live.snapshot() if step.updates else replace(before, model=live.model_state())
            changes.append(state_values(before, after, step.updates, sums=False))
    return [
        Watched(each, same, ordered({**kept.values(live.group), **results(each), **changed}), {})
        for each, changed, kept in zip(computed, changes, watching.steps.values(), strict=True)
    ]


def results(computed: Computed) -> dict[str, Values]:
    """Returns the values of a step's loss and logits, by key."""
    arrays = {
        key("loss", "loss"): np.array(computed.loss, np.float32),
        key("loss", "logits"): computed.logits,
    }
    return {name: values_of(name, array) for name, array in arrays.items()}


def state_values(
    before: Snapshot, after: Snapshot, updates: bool, sums: bool = True
) -> dict[str, Values]:
    """Returns the values of a step's update, if it ends in one, and of the state after it.

    Args:
        before: The state before the update.
        after: The state after the step.
        updates: Whether the step ends in an update.
        sums: As for :func:`isotune.equivalence.traces.sampling.values_of`.
    """
    arrays = _changed_arrays(before, after, updates)
    return {name: values_of(name, array, sums) for name, array in arrays}


def _changed_arrays(
    before: Snapshot, after: Snapshot, updates: bool
) -> Iterator[tuple[str, Array]]:
    """Yields updates and states by key, one at a time: models may be large."""
    if updates:
        for name, value in before.model.items():
            if is_parameter(name):
                yield key("update", name), after.model[name] - value
    for states, suffix in ((after.model, ""), (after.optimizer, ""), (after.average, "/average")):
        for name, value in states.items():
            yield key("state", f"{name}{suffix}"), np.asarray(value, np.float32)


def ordered(values: Mapping[str, Values]) -> dict[str, Values]:
    """Returns values in the order of the stages; those of a stage keep theirs."""
    order: dict[str, int] = {stage: number for number, stage in enumerate(STAGES)}
    return dict(sorted(values.items(), key=lambda item: order[item[0].partition("/")[0]]))


def differences(one: Mapping[str, Values], other: Mapping[str, Values]) -> dict[str, float]:
    """Returns the relative difference of the samples of values that both have."""
    return {
        name: difference(values.samples, other[name].samples)
        for name, values in one.items()
        if name in other
    }

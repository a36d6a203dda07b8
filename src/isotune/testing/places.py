"""Where a backend and the reference part, for the report of a test that has failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.certificates.report import place_text
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.recording.live import Computed, LiveSide, Snapshot, Step
from isotune.equivalence.recording.passes import ordered, results, state_values
from isotune.equivalence.recording.steps import (
    Recording,
    batch_digest,
    record_steps,
    tensor_digests,
)
from isotune.equivalence.traces.sampling import Values, values_of
from isotune.equivalence.traces.trace import Side, Trace, TracedStep, key
from isotune.interfaces.division import Division
from isotune.interfaces.tracer import Array
from isotune.interfaces.trainer import TrainingPlan
from isotune.testing.divided import Update
from isotune.testing.reference.trainer import ReferenceTrainer, ShardPass
from isotune.testing.reference.watched import layers_of, watch
from isotune.testing.subject import Learner
from isotune.testing.values import NORMALIZATION
from isotune.testing.watching import Collected

ROUNDING = (1e-5, 3e-6)
"""What is taken for the rounding of a step in float32, first and where that shows nothing: with
:data:`isotune.equivalence.comparing.rounding.FACTOR`, differences of 1e-4 and 3e-5 are allowed."""

SECONDS = 30
"""After so many seconds no further update is compared: some backends compile each of them."""


@contextmanager
def place_shown(
    learner: Learner,
    reference: ReferenceTrainer,
    updates: Sequence[Update],
    plan: TrainingPlan | None = None,
) -> Iterator[None]:
    """Where a comparison within the context fails, says at which layer or stage they part.

    Args:
        learner: Makes the updates within the context, as the reference does.
        reference: The reference, in the same state.
        updates: The updates.
        plan: The learner's plan; None if it is the reference's.
    """
    start = reference.copy()
    start.plan = plan or reference.plan
    try:
        yield
    except AssertionError as error:
        error.args = (f"{error}\n\n{place_of(learner, start, updates)}",)
        raise


def place_of(learner: Learner, reference: ReferenceTrainer, updates: Sequence[Update]) -> str:
    """Returns where a learner parts from the reference, as text.

    Each update starts from the reference's state, so that nothing has grown before it. Large
    differences are reported before smaller ones, which may be rounding.

    Args:
        learner: Whatever it has come to.
        reference: As it was before the updates; moves on.
        updates: The updates.
    """
    if learner.backend.tracer is None:
        return "Backend.tracer is None: with a tracer, the layer would stand here."
    try:
        traces, end = list[tuple[Trace, Trace]](), monotonic() + SECONDS
        compared = 0
        while compared < len(updates) and (not compared or monotonic() < end):
            traces += traces_of(learner, reference, updates[compared])
            compared += 1
        places = (compare(*_rounded(*pair, unit)).place for unit in ROUNDING for pair in traces)
        place = next((each for each in places if each is not None), None)
    except Exception as error:  # what is broken must not hide what has failed
        return f"isotune.equivalence finds no place: {type(error).__name__}: {error}"
    if place is None:
        for one, other in traces:
            if lost := [name for name in other.steps[0].values if _is_lost(name, one)]:
                return f"isotune.equivalence finds no '{lost[0]}' of {learner.backend.name}."
        first = "all" if compared == len(updates) else f"the first {compared}"
        return f"isotune.equivalence finds no place: {first} updates are those of the reference."
    names = f"{learner.backend.name} (side 1) and the reference (side 2)"
    blamed = f"\n  layer: '{place.path}' ({place.kind})" if place.path else ""
    return f"isotune.equivalence compares {names}. {place_text(place)}{blamed}"


def _is_lost(name: str, trace: Trace) -> bool:
    """Whether a trace lacks a value of a parameter that the reference has."""
    stage = name.partition("/")[0]
    return stage in ("gradient", "update", "state") and name not in trace.steps[0].values


def _rounded(one: Trace, reference: Trace, unit: float) -> tuple[Trace, Trace]:
    """Says of the reference that it differs so much from itself: it is not in float32."""
    steps = [
        replace(step, yardsticks={"float32": dict.fromkeys(step.values, unit)})
        for step in reference.steps
    ]
    return one, replace(reference, steps=tuple(steps))


def traces_of(
    learner: Learner, reference: ReferenceTrainer, update: Update
) -> list[tuple[Trace, Trace]]:
    """Returns traces of each step of an update, of the learner and of the reference.

    Args:
        learner: Takes the reference's state over.
        reference: Makes the update.
        update: The update.
    """
    reference.round()
    plan, before = reference.plan, snapshot(reference)
    steps = list(steps_of(update, reference))
    own = trace_of(learner, plan, steps, before)
    side = Side("reference", "cpu", "fp32", False, 1, 1, {"numpy": np.__version__}, {})
    layers = tuple(layers_of(reference.net))
    expected = reference_steps(reference, update)
    other = Trace(side, own.experiment, (), tensor_digests(before.model), layers, tuple(expected))
    pairs = zip(own.steps, other.steps, strict=True)
    return [(replace(own, steps=(one,)), replace(other, steps=(two,))) for one, two in pairs]


def trace_of(
    learner: Learner, plan: TrainingPlan, steps: Sequence[Step], before: Snapshot | None = None
) -> Trace:
    """Returns the trace of some steps.

    Args:
        learner: Makes them, and returns to where it was before them.
        plan: Its plan.
        steps: The steps.
        before: The state that it takes over first; None is its own.
    """
    backend = learner.backend
    live = LiveSide(backend, learner.model, learner.trainer, plan, NORMALIZATION)
    if before is not None:
        live.restore(before)
    found = record_steps(live, steps, Recording(steps=len(steps), drift=0, variants=False))
    name, device, versions = backend.name, backend.device, backend.versions()
    side = Side(name, device, plan.precision, plan.compile, 1, backend.threads(), versions, {})
    spec = experiment(plan, len(steps))
    return Trace(side, spec, (), found.start, found.layers, found.steps)


def experiment(plan: TrainingPlan, accumulate: int) -> dict[str, Any]:
    """Returns what causes read of an experiment, as a trace has it."""
    optimizer = plan.optimizer.model_dump(mode="json")
    clip = plan.clip_grad_norm
    return {"optimizer": optimizer, "accumulate": accumulate, "clip_grad_norm": clip}


def steps_of(update: Update, reference: ReferenceTrainer) -> Iterator[Step]:
    """Yields the steps of an update, as a backend in one process makes them."""
    parts = update.part_steps(reference.plan, Division(reference.plan.shards))
    for number, each in groupby(parts, key=lambda part: part.plan.step):
        batch = update.batches[number - update.step]
        yield Step(batch, tuple(part.plan for part in each))


def reference_steps(reference: ReferenceTrainer, update: Update) -> list[TracedStep]:
    """Makes an update and returns its steps as they are traced."""
    seen, found = list[Collected](), list[TracedStep]()

    def begin() -> Collected:
        seen.append(Collected())
        return seen[-1]

    before = snapshot(reference)
    with watch(reference, begin):
        passes = reference.train_update(
            update.batches, update.rate, update.step, update.momentum, update.decay
        )
    after, number = snapshot(reference), update.step
    for batch, shards in zip(update.batches, passes, strict=True):
        own, seen = seen[: len(shards)], seen[len(shards) :]
        computed = Computed(loss_of(shards), in_float32(np.concatenate([s.logits for s in shards])))
        values = {**arrays_of(own), **results(computed)}
        if batch is update.batches[-1]:
            values |= state_values(before, after, True)
        found.append(
            TracedStep(
                number, batch_digest(batch), update.rate, computed.loss, True, ordered(values)
            )
        )
        number += 1
    return found


def loss_of(shards: Sequence[ShardPass]) -> float:
    """Returns the loss of a batch."""
    total = sum(each.loss * each.weight for each in shards)
    return float(np.float32(total / sum(each.weight for each in shards)))


def arrays_of(parts: Sequence[Collected]) -> dict[str, Values]:
    """Returns what a trace keeps of arrays that are reported of the parts of a batch."""
    arrays = {key("input", "images"): np.concatenate([each.entered[""][0] for each in parts])}
    for name in parts[0].outputs:
        arrays[key("forward", name)] = np.concatenate([each.outputs[name] for each in parts])
    for name in parts[0].slopes:
        arrays[key("backward", name)] = np.concatenate([each.slopes[name] for each in parts])
    for name in parts[0].gradients:
        total = sum(each.gradients[name].astype(np.float64) for each in parts)
        arrays[key("gradient", name)] = in_float32(np.asarray(total))
    return {name: values_of(name, array) for name, array in arrays.items()}


def snapshot(reference: ReferenceTrainer) -> Snapshot:
    """Returns the reference's state in float32."""
    averages = reference.averages if reference.plan.averages else {}
    states = reference.state, reference.optimizer_state(), averages
    model, optimizer, average = (
        {name: in_float32(value) for name, value in state.items()} for state in states
    )
    return Snapshot(model, optimizer, average)


def in_float32(array: NDArray[np.float64]) -> Array:
    """Returns an array in float32."""
    return np.asarray(array, np.float32)

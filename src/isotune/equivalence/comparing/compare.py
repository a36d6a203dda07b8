"""Compares two traces: a certificate of what they have in common, and where they part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from isotune.equivalence.causes import likely_cause
from isotune.equivalence.certificates.certificate import Certificate, Compared, ComparedStep, Place
from isotune.equivalence.comparing.conditions import place_before
from isotune.equivalence.comparing.notes import notes_on
from isotune.equivalence.comparing.place import Places, compilation_place
from isotune.equivalence.comparing.rounding import (
    FULL,
    Roundings,
    Tolerance,
    comparable,
    tolerance_of,
)
from isotune.equivalence.comparing.verdict import (
    compared_drift,
    compared_predictions,
    drift_place,
    predictions_place,
    verdict_of,
)
from isotune.equivalence.local.differences import LocalDifferences
from isotune.equivalence.traces.trace import Trace, TracedStep
from isotune.interfaces.tracer import Layer


@np.errstate(all="ignore")  # traces may hold NaN and infinity, whose differences are infinite
def compare(one: Trace, other: Trace, local: LocalDifferences | None = None) -> Certificate:
    """Compares what two sides have computed of the same experiment.

    Args:
        one: Trace of one side.
        other: Trace of the other side.
        local: What layers of the other side make of this side's inputs; None if that is not known.
    """
    sides = one.side, other.side
    tolerance = tolerance_of(sides)
    layers = (*one.layers, *other.layers)
    steps = tuple(
        compared_step(first, second, tolerance, local, layers)
        for first, second in zip(one.steps, other.steps, strict=False)
    )
    drift = None
    if one.drift is not None and other.drift is not None:
        drift = compared_drift(one.drift, other.drift)
    places = list(_places((one, other), steps))
    if not places:
        later = (
            drift_place(drift) if drift is not None else None,
            predictions_place(one, other, tolerance),
        )
        places = [at for at in later if at is not None]
    places = [_with_cause(place, one, other, local) for place in places]
    place = places[0] if places else None
    return Certificate(
        sides=sides,
        verdict=verdict_of(place, steps, drift),
        same_start=one.start == other.start,
        steps=steps,
        drift=drift,
        predictions=compared_predictions(one, other),
        place=place,
        others=tuple(places[1:]),
        notes=tuple(notes_on((one, other), steps, local)),
    )


def compared_step(
    one: TracedStep,
    other: TracedStep,
    tolerance: Tolerance = FULL,
    local: LocalDifferences | None = None,
    layers: Sequence[Layer] = (),
) -> ComparedStep:
    """Returns the differences of a step.

    Args:
        one: The step of one side.
        other: The step of the other side.
        tolerance: What is taken for rounding.
        local: What layers of the other side make of the first side's inputs.
        layers: The layers of both sides' models.
    """
    values = []
    roundings = Roundings(one, other, tolerance, layers)
    for found in roundings.all:
        alone = local.of(found.key) if local is not None and local.step == one.step else None
        value = Compared(found.key, found.difference, found.yardstick, found.allowed)
        if alone is not None:
            allowed = roundings.locally_allowed(found.key, alone.yardstick)
            value = replace(value, local=alone.difference, local_allowed=allowed)
        values.append(value)
    return ComparedStep(
        step=one.step,
        same_batch=one.batch == other.batch,
        losses=(one.loss, other.loss),
        values=tuple(values),
        missing=tuple(comparable(one, other)[1]),
    )


def _places(traces: tuple[Trace, Trace], steps: Sequence[ComparedStep]) -> Iterator[Place]:
    """Yields the places where two sides part in the first step that is not the same.

    Only a first step starts from the same bytes: what differs in a later one may have grown.
    """
    before = place_before(traces)
    if before is not None:
        yield before
        return
    for index, step in enumerate(steps):
        if not step.same_batch:
            yield Place("batch", "", step.step)
            return
        if index:
            continue
        found = list(Places(traces, step, index).all())
        both = [trace.steps[index] for trace in traces]
        compiled = compilation_place(traces, both, step)
        if compiled and not (found and found[0].stage not in ("update", "state")):
            found.insert(0, compiled)
        yield from found
        if found:
            return


def _with_cause(place: Place, one: Trace, other: Trace, local: LocalDifferences | None) -> Place:
    return replace(place, cause=likely_cause(place, one, other, local) or place.cause)

"""How two sides go on after the traced steps, and what is said of them as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.certificates.certificate import (
    ComparedDrift,
    ComparedPredictions,
    ComparedStep,
    Flip,
    Place,
    Verdict,
)
from isotune.equivalence.comparing.rounding import FLOOR, Tolerance
from isotune.equivalence.traces.sampling import difference
from isotune.equivalence.traces.trace import ITSELF, Drift, Predictions, Trace
from isotune.training.probabilities import scores

CHAOS = 30.0
"""How many times a side's drift from itself the drift between two sides may be.

Where differences grow exponentially, one that starts some times larger stays that many times larger
until both are as large as the parameters' way. The nudge of one batch starts with one unit of
rounding; another kernel adds some in every layer and step.
"""

EVEN = 4.0
"""How many times what the first step adds to the drift each later one may add without chaos."""

Logits = NDArray[np.float32]


def compared_drift(one: Drift, other: Drift) -> ComparedDrift:
    """Returns how far two sides drift apart, for the steps that both have.

    Args:
        one: Drift of one side.
        other: Drift of the other side.
    """
    steps = min(len(run) for side in (one, other) for run in side.parameters.values())
    between = tuple(
        difference(one.parameters[ITSELF][step], other.parameters[ITSELF][step])
        for step in range(steps)
    )
    themselves = (_themselves(one, steps), _themselves(other, steps))
    own = [
        max((each[step] for side in themselves for each in side.values()), default=0.0)
        for step in range(steps)
    ]
    # Chaos does not shrink: where a drift is smaller than a step before, that is a sample's luck.
    allowed = [max(CHAOS * each, FLOOR) for each in accumulate(own, max)]
    first, second = (_floats(each.losses[ITSELF], steps) for each in (one, other))
    return ComparedDrift(between, themselves, (first, second), tuple(allowed))


def _themselves(drift: Drift, steps: int) -> Mapping[str, tuple[float, ...]]:
    run = drift.parameters[ITSELF]
    return {
        name: tuple(map(difference, run[:steps], changed[:steps]))
        for name, changed in drift.parameters.items()
        if name != ITSELF
    }


def _floats(losses: Logits, steps: int) -> tuple[float, ...]:
    return tuple(float(loss) for loss in losses[:steps])


def adds_up(drift: ComparedDrift) -> bool:
    """Whether a drift is no more than rounding that adds up, step by step, without growing."""
    each = max(FLOOR, EVEN * drift.between[0]) if drift.between else 0.0
    return all(found <= (step + 1) * each for step, found in enumerate(drift.between))


def drift_place(drift: ComparedDrift) -> Place | None:
    """Returns the first step at which two sides are further apart than chaos; None if none is."""
    for step, (found, allowed) in enumerate(zip(drift.between, drift.allowed, strict=True)):
        if not found <= allowed:
            return Place("drift", "parameters", step, difference=found, allowed=allowed)
    return None


def compared_predictions(one: Trace, other: Trace) -> ComparedPredictions | None:
    """Returns how the predictions of two sides differ; None if one side has none."""
    if one.predictions is None or other.predictions is None:
        return None
    sides = one.predictions, other.predictions
    first, second = (side.logits[ITSELF] for side in sides)
    images = min(len(first), len(second))
    same = sides[0].images == sides[1].images and first.shape == second.shape
    apart = float(np.abs(first - second).max(initial=0)) if same else float("inf")
    return ComparedPredictions(
        images=images,
        same_images=same,
        largest_difference=apart,
        flips=tuple(_flips(one, first, second)) if same else (),
        own_flips=(_own_flips(one, sides[0]), _own_flips(other, sides[1])),
    )


def predictions_place(one: Trace, other: Trace, tolerance: Tolerance) -> Place | None:
    """Returns the place of predictions that differ by more than training on does; None if none do.

    Args:
        one: Trace of one side.
        other: Trace of the other side.
        tolerance: What is taken for rounding.
    """
    if one.predictions is None or other.predictions is None:
        return None
    sides = one.predictions, other.predictions
    first, second = (side.logits[ITSELF] for side in sides)
    if sides[0].images != sides[1].images or first.shape != second.shape:
        return Place("predictions", "", None, cause="The validation images are not the same.")
    own = [
        difference(side.logits[ITSELF], logits)
        for side in sides
        for name, logits in side.logits.items()
        if name != ITSELF
    ]
    found, allowed = difference(first, second), CHAOS * max([tolerance.floor, *own])
    if not own or found <= allowed:
        return None
    return Place("predictions", "logits", None, difference=found, allowed=allowed)


def _flips(trace: Trace, one: Logits, other: Logits) -> list[Flip]:
    first, second = _scores(trace, one), _scores(trace, other)
    found = []
    for image in np.flatnonzero(first.argmax(axis=1) != second.argmax(axis=1)).tolist():
        classes = [int(first[image].argmax()), int(second[image].argmax())]
        margins = [abs(float(np.subtract(*each[image, classes]))) for each in (first, second)]
        noise = float(np.abs(first[image, classes] - second[image, classes]).max())
        names = [trace.classes[label] for label in classes]
        found.append(Flip(image, (names[0], names[1]), max(margins), noise))
    return found


def _own_flips(trace: Trace, predictions: Predictions) -> int:
    itself = _scores(trace, predictions.logits[ITSELF]).argmax(axis=1)
    return max(
        (
            int((_scores(trace, logits).argmax(axis=1) != itself).sum())
            for name, logits in predictions.logits.items()
            if name != ITSELF and len(logits) == len(itself)
        ),
        default=0,
    )


def _scores(trace: Trace, logits: Logits) -> Logits:
    # Of two classes and one logit, the first class's is 0.
    if logits.shape[1] == 1 and len(trace.classes) == 2:
        return scores(logits, "binary_cross_entropy")
    return logits


def verdict_of(
    place: Place | None, steps: Sequence[ComparedStep], drift: ComparedDrift | None
) -> Verdict:
    """Returns the verdict on two sides.

    Args:
        place: Where they part; None if they do not.
        steps: The traced steps.
        drift: How training goes on; None if that is not known.
    """
    if place is not None:
        return "differs"
    alike = all(value.agrees for step in steps for value in step.values)
    grows = drift is not None and not adds_up(drift)
    return "equal" if alike and not grows else "equal up to chaos"

"""A certificate in sentences that a person understands."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import assert_never

from isotune.equivalence.certificates.certificate import (
    Certificate,
    Compared,
    ComparedDrift,
    ComparedPredictions,
    Place,
)
from isotune.equivalence.comparing.rounding import unit
from isotune.equivalence.traces.trace import Side, path_of
from isotune.reports.numbers import count, significant


def side_names(sides: tuple[Side, Side]) -> tuple[str, str]:
    """Returns a name for each side that tells it from the other."""
    one, other = sides
    if one.label != other.label:
        return one.label, other.label
    apart = [pair for pair in zip(_details(one), _details(other), strict=True) if len({*pair}) > 1]
    packages = sorted(one.versions.keys() | other.versions.keys())
    apart += [
        (f"{name} {one.versions.get(name, 'none')}", f"{name} {other.versions.get(name, 'none')}")
        for name in packages
        if one.versions.get(name) != other.versions.get(name)
    ]
    if not apart:
        return f"the first {one.label}", f"the second {other.label}"
    first, second = (", ".join(texts) for texts in zip(*apart, strict=True))
    return f"{one.label} ({first})", f"{other.label} ({second})"


def _details(side: Side) -> Iterator[str]:
    yield side.precision
    yield "compiled" if side.compile else "not compiled"
    yield count(side.processes, "process", "processes")
    yield count(side.threads, "thread")


def coarser(sides: tuple[Side, Side]) -> str:
    """Returns how a person calls what the precisions of two sides explain."""
    precision = max((side.precision for side in sides), key=unit)
    return "rounding" if precision == "fp32" else f"the rounding of {precision}"


def verdict_sentence(certificate: Certificate) -> str:
    """Returns the verdict, and on what it rests, in a sentence or two."""
    first, second = side_names(certificate.sides)
    rounding = coarser(certificate.sides)
    match certificate.verdict:
        case "equal":
            steps = count(len(certificate.steps), "training step")
            text = f"In {steps}, {first} and {second} differ by no more than {rounding}."
            return f"{text} {_with_drift(certificate.drift)}".strip()
        case "equal up to chaos":
            text = f"{first} and {second} compute the same single step."
            return f"{text} {_with_drift(certificate.drift)}".strip()
        case "differs":
            if certificate.place is None:
                return f"{first} and {second} do not compute the same."
            place = place_sentence(certificate.place)
            return f"{first} and {second} do not compute the same. {place}"
        case _:
            assert_never(certificate.verdict)


def _with_drift(drift: ComparedDrift | None) -> str:
    if drift is None or not drift.between:
        return ""
    own = [significant(own_drift(drift, side)[-1], 2) for side in (0, 1)]
    return (
        f"After {count(len(drift.between), 'step')} their weights are"
        f" {significant(drift.between[-1], 2)} apart; when something changes that ought not to"
        f" matter, each is {own[0]} and {own[1]} apart from itself."
    )


def own_drift(drift: ComparedDrift, side: int) -> tuple[float, ...]:
    """Returns how far a side drifts from itself after each step: the largest of all changes."""
    changes = drift.themselves[side].values()
    return tuple(map(max, zip(*changes, strict=True))) or (0.0,) * len(drift.between)


def place_sentence(place: Place) -> str:
    """Returns where two sides part, by how much, and why if a cause is likely."""
    when = "" if place.step is None else f" in step {place.step}"
    text = f"The first place is {place_name(place)}{when}"
    if place.difference is not None:
        text += f", which differs by {significant(place.difference, 2)}"
        if place.allowed is not None:
            text += f", where rounding explains {significant(place.allowed, 2)}"
    return f"{text}.{cause_sentence(place)}"


def cause_sentence(place: Place) -> str:
    """Returns `` Likely cause: ...``, or nothing if no known one fits."""
    return "" if place.cause is None else f" Likely cause: {place.cause.rstrip('.')}."


def place_name(place: Place) -> str:
    """Returns what parts, without the step: ``the output of 'layer1.0.conv1' (Conv2d)``."""
    name = f"'{place.name}'"
    layer = f"{name} ({place.kind})" if place.kind else name
    if place.stage in ("forward", "backward") and not place.name:
        layer = "the model"
    match place.stage:
        case "experiment":
            return f"{name} of the experiment"
        case "batch":
            return "the batch"
        case "start":
            return f"the start of {name}" if place.name else "the start"
        case "input":
            return "the model's input"
        case "forward":
            return f"the output of {layer}"
        case "loss":
            return "the loss" if place.name == "loss" else f"the {place.name}"
        case "backward" if place.path and place.path != path_of(place.name):
            made = f" ({place.kind})" if place.kind else ""
            return f"the gradient of the output of {name}, as '{place.path}'{made} computes it"
        case "backward":
            return f"the gradient of the output of {layer}"
        case "gradient":
            return f"the gradient of {layer}"
        case "update":
            return f"the update of {layer}"
        case "state":
            return f"the state {layer} after the update"
        case "compilation":
            return "the compiled step, whose loss is not that of the step without compiling"
        case "drift":
            return "how training goes on"
        case "predictions":
            return "the predictions"
        case _:
            assert_never(place.stage)


def predictions_sentence(predictions: ComparedPredictions) -> str:
    """Returns how many predictions flip, and how near a tie those were."""
    if not predictions.same_images:
        return "The sides have predicted other images, so predictions are not compared."
    images = count(predictions.images, "validation image")
    logits = f"logits differ by up to {significant(predictions.largest_difference, 2)}"
    if not predictions.flips:
        return f"Both sides predict the same class for all {images}; {logits}."
    margin = significant(max(flip.margin for flip in predictions.flips), 2)
    flips = len(predictions.flips)
    own, others = predictions.own_flips
    return (
        f"Of {images}, {flips:,} {'is' if flips == 1 else 'are'} predicted differently, where the"
        f" two classes are at most {margin} apart, while {logits}; each side predicts up to {own:,}"
        f" and {others:,} differently from itself."
    )


def excess(value: Compared) -> float:
    """Returns the difference as a multiple of what is allowed; 0 for equal values."""
    if value.difference == 0:
        return 0.0
    return value.difference / value.allowed if value.allowed else float("inf")

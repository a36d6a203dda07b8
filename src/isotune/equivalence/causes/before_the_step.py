"""What differs before a step computes: classes, batch and start; and the labels of its loss."""

from __future__ import annotations

import numpy as np

from isotune.equivalence.causes.evidence import Evidence
from isotune.equivalence.causes.relations import SAME
from isotune.equivalence.trace import TracedStep, key

Labels = list[int]


def other_classes(evidence: Evidence) -> str | None:
    """Finds the same classes in another order."""
    one, other = (trace.classes for trace in evidence.traces)
    if evidence.place.stage != "experiment" or one == other or sorted(one) != sorted(other):
        return None
    at = next(number for number, name in enumerate(one) if name != other[number])
    first, second = evidence.labels
    return (
        f"The classes are the same in another order: label {at} is '{one[at]}' in {first} and"
        f" '{other[at]}' in {second}."
    )


def swapped_tensors(evidence: Evidence) -> str | None:
    """Finds that a tensor has the start of another one."""
    if evidence.place.stage != "start":
        return None
    name = evidence.place.name
    one, other = (trace.start for trace in evidence.traces)
    if name not in one or name not in other:
        return None
    twins = [each for each in other if each != name and other[each] == one[name]]
    swapped = [each for each in twins if one.get(each) == other[name]]
    first, second = evidence.labels
    if swapped:
        return f"'{name}' and '{swapped[0]}' have each other's values in {second}."
    if twins:
        return f"The values of '{name}' in {first} are those of '{twins[0]}' in {second}."
    return None


def other_batch(evidence: Evidence) -> str | None:
    """Finds the same numbers, or the same loss, in a batch that is not the same."""
    if evidence.place.stage not in ("batch", "input") or evidence.steps is None:
        return None
    images = evidence.values(key("input", "images"))
    if images is None or images[0].shape != images[1].shape:
        return None
    one, other = images
    alike = all(
        abs(a - b) <= SAME * max(abs(a), abs(b))
        for a, b in ((one.norm, other.norm), (one.largest, other.largest))
    )
    if np.array_equal(one.samples, other.samples) and one.norm == other.norm:
        return "The images agree, so that it is the labels that differ."
    if not alike:
        return None
    losses = [step.loss for step in evidence.steps]
    if abs(losses[0] - losses[1]) <= 1e-4 * max(map(abs, losses)):
        return (
            "Both sides have the same numbers and loss: it fits the same images in another order."
        )
    return (
        "Both sides' images have the same numbers in another order: it fits images in another order"
        " than their labels, or flipped or transposed ones."
    )


def other_labels(evidence: Evidence) -> str | None:
    """Finds, where logits agree, for which labels the loss of each side is."""
    logits = evidence.pair(key("loss", "logits"))
    if evidence.place.stage not in ("loss", "backward") or evidence.steps is None:
        return None
    if logits is None or logits.between > 1e-4:
        return None
    labels = [_labels(step) for step in evidence.steps]
    first, second = evidence.labels
    if not labels[0] or not labels[1]:
        return None
    if labels[0] == labels[1]:
        return None
    renamed = dict(zip(labels[0], labels[1], strict=True))
    if [renamed[each] for each in labels[0]] == labels[1]:
        pairs = [f"{a} is {b}" for a, b in sorted(renamed.items()) if a != b]
        return (
            f"The logits agree, and it fits labels in another order: of {first} and {second},"
            f" label {', '.join(pairs[:4])}."
        )
    text = "The logits agree, but the loss is for other labels"
    if sorted(labels[0]) == sorted(labels[1]):
        return f"{text}: the same ones in another order of images."
    return f"{text}."


def _labels(step: TracedStep) -> Labels:
    """Returns each image's label, whose logit has the only negative gradient; empty if unknown."""
    found = step.values.get(key("backward", ""))
    if found is None or len(found.shape) != 2 or found.samples.size != np.prod(found.shape):
        return []
    gradient = found.samples.reshape(found.shape)
    if found.shape[1] < 2 or not ((gradient < 0).sum(1) == 1).all():
        return []
    return [int(each) for each in gradient.argmin(1)]

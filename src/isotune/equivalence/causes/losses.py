"""What the loss makes of logits that agree: its labels, their smoothing and weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import apart, fits, number
from isotune.equivalence.causes.evidence import Evidence
from isotune.equivalence.traces.trace import key

Wide = NDArray[np.float64]

SAME_LOGITS = 1e-4
"""Largest relative difference of logits that are taken for the same."""


def other_loss(evidence: Evidence) -> str | None:
    """Finds, where logits agree, what the loss of each side is about."""
    logits = evidence.pair(key("loss", "logits"))
    gradients = evidence.pair(key("backward", ""))
    if evidence.place.stage not in ("loss", "backward") or evidence.place.path:
        return None
    if logits is None or gradients is None or logits.between > SAME_LOGITS:
        return None
    if gradients.between < SAME_LOGITS:
        return (
            "The logits and their gradients agree: it fits another term of the loss, such as that"
            " of auxiliary classifiers, or what is made of it afterwards."
        )
    if len(gradients.shape) != 2 or not gradients.complete or gradients.shape[1] < 2:
        return None
    both = gradients.one.reshape(gradients.shape), gradients.other.reshape(gradients.shape)
    own = logits.one.reshape(logits.shape) if logits.complete else None
    return _labels(evidence, *both) or _smoothing(evidence, *both, own) or _weights(evidence, *both)


def _labels(evidence: Evidence, one: Wide, other: Wide) -> str | None:
    """Compares labels, whose logits have the only negative gradients."""
    if any(((gradient < 0).sum(1) != 1).any() for gradient in (one, other)):
        return None
    labels = [[int(label) for label in gradient.argmin(1)] for gradient in (one, other)]
    if labels[0] == labels[1]:
        return None
    first, second = evidence.labels
    renamed = dict(zip(labels[0], labels[1], strict=True))
    if len(renamed) > 1 and [renamed[each] for each in labels[0]] == labels[1]:
        pairs = [f"{b} for {a}" for a, b in sorted(renamed.items()) if a != b]
        return (
            f"The logits agree, and it fits labels in another order: {second} has"
            f" {', '.join(pairs[:4])} of {first}."
        )
    text = "The logits agree, but the loss is for other labels"
    if sorted(labels[0]) == sorted(labels[1]):
        return f"{text}: the same ones in another order of images."
    return f"{text}."


def _smoothing(evidence: Evidence, one: Wide, other: Wide, logits: Wide | None) -> str | None:
    """Compares the shares that cross-entropy's gradients leave to the classes."""
    if logits is None or logits.shape != one.shape:
        return None
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    found = []
    for gradient in (one, other):
        targets = shares - len(gradient) * gradient
        label = targets.argmax(1)
        rest = targets[np.arange(targets.shape[1]) != label[:, None]]
        smoothing = float(np.median(rest)) * targets.shape[1]
        expected = np.full_like(targets, smoothing / targets.shape[1])
        expected[np.arange(len(label)), label] += 1 - smoothing
        if not fits(expected, targets, 1.0):
            return None
        found.append(smoothing if abs(smoothing) > 1e-5 else 0.0)
    if abs(found[0] - found[1]) < 1e-5:
        return None
    first, second = evidence.labels
    return (
        f"The logits agree, and it fits label smoothing of {number(found[0])} in {first} and"
        f" {number(found[1])} in {second}."
    )


def _weights(evidence: Evidence, one: Wide, other: Wide) -> str | None:
    """Compares the factors of images by their labels."""
    labels = one.argmin(1)
    squares = (one**2).sum(1)
    if (squares == 0).any() or (labels != other.argmin(1)).any():
        return None
    factors = (one * other).sum(1) / squares
    if not fits(one * factors[:, None], other, apart(one, other)):
        return None
    by_label = {int(label): float(factors[labels == label].mean()) for label in labels}
    expected = np.array([by_label[int(label)] for label in labels])
    if np.abs(expected / factors - 1).max() > 1e-3:
        return None
    first, second = evidence.labels
    if max(by_label.values()) / min(by_label.values()) < 1.001:
        return f"The gradient is {number(factors[0])} times as large in {second} as in {first}."
    lowest = min(by_label.values())
    parts = [f"{number(each / lowest)} for label {n}" for n, each in sorted(by_label.items())]
    return (
        f"The logits agree, and it fits other weights of the classes in {second} than in {first}:"
        f" {', '.join(parts[:6])}."
    )

"""Confident learning: which labels a model doubts with good reason.

The method is that of Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", Journal of Artificial Intelligence Research 70 (2021),
https://arxiv.org/abs/1911.00068: the confident joint of section 3.1, calibrated, and "prune by
noise rate" of section 3.2. Details that the paper leaves open are those of the authors' package
cleanlab, whose ``find_label_issues`` finds the same images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Labels

Probabilities = NDArray[np.float64]
"""Probabilities of N images: shape (N, classes)."""

Counts = NDArray[np.int64]
"""Numbers of images by the label that they have (rows) and the one that they should have."""

SLACK = 1e-6
"""A probability this far below its threshold reaches it, since sums of floats round."""

SMALLEST_THRESHOLD = 2e-6
"""Lower bound of a threshold, for a class that no image is predicted for."""


@dataclass(frozen=True)
class Suspects:
    """Those images whose labels a model doubts, the most suspect first.

    Attributes:
        order: Their indices: int64, shape (S,).
        suggested: The labels that the model gives instead: int64, shape (S,); or, where an image
            may have several, float32, shape (S, classes).
        scores: Probability of the given label, in [0, 1]: the lower, the more suspect; of several,
            that of the given answer to the class most in doubt: float64, shape (S,).
        probabilities: Probability of the suggested label or answer: float64, shape (S,).
    """

    order: NDArray[np.int64]
    suggested: NDArray[np.int64] | NDArray[np.float32]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]


def find_suspects(probabilities: NDArray[np.floating[Any]], labels: Labels) -> Suspects:
    """Returns the images whose labels a model doubts.

    A model is confident of a class if it gives the class at least the probability that it gives it
    on average for the images with that label. How often it is confident of class j for images
    labeled i estimates how many of these should be labeled j. As many are suspects: those where
    j is farthest ahead of i, unless i is the most probable class after all.

    Where an image may have several labels, each class is a question with two answers, yes and no,
    and an image is suspect if one of its answers is.

    Args:
        probabilities: Those of a model that was not trained on the images, in [0, 1], shape
            (N, classes).
        labels: The given labels: int32, shape (N,); or float32, shape (N, classes), as in
            :class:`isotune.interfaces.dataset.ImageSource`.
    """
    probabilities = probabilities.astype(np.float64)
    if labels.ndim == 2:
        return _several(probabilities, labels > 0)
    given = labels.astype(np.int64)
    doubted, likeliest = _doubted(probabilities, given)
    scores = probabilities[np.arange(len(given)), given]
    order = _lowest(doubted, scores)
    suggested = likeliest[order]
    return Suspects(order, suggested, scores[order], probabilities[order, suggested])


def _several(probabilities: Probabilities, given: NDArray[np.bool_]) -> Suspects:
    answers = np.stack([1 - probabilities, probabilities], axis=2)
    doubted = np.zeros_like(given)
    for label in range(given.shape[1]):
        doubted[:, label], _ = _doubted(answers[:, label], given[:, label].astype(np.int64))
    scores = np.where(given, probabilities, 1 - probabilities).min(axis=1, where=doubted, initial=1)
    order = _lowest(doubted.any(axis=1), scores)
    suggested = (given ^ doubted)[order].astype(np.float32)
    return Suspects(order, suggested, scores[order], 1 - scores[order])


def _doubted(
    probabilities: Probabilities, labels: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Returns whether each label is suspect, and the most probable class, of equals the label."""
    joint = _joint(probabilities, labels)
    doubted = np.zeros(len(labels), np.bool_)
    for label, wrong in enumerate(_wrong_labels(joint)):
        images = np.flatnonzero(labels == label)
        if len(images) < 2:
            continue  # the only image of a class stays
        for other in np.flatnonzero(wrong).tolist():
            ahead = probabilities[images, other] - probabilities[images, label]
            farthest = np.argsort(-ahead, kind="stable")[: wrong[other]]
            doubted[images[farthest]] = True
    own = probabilities[np.arange(len(labels)), labels]
    is_likeliest = own + SLACK >= probabilities.max(axis=1)
    likeliest = np.where(is_likeliest, labels, probabilities.argmax(axis=1))
    return doubted & (likeliest != labels), likeliest


def _joint(probabilities: Probabilities, labels: NDArray[np.int64]) -> Counts:
    """Returns the confident joint, calibrated: its rows add up to the images with each label."""
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    confident = _confident_classes(probabilities, _thresholds(probabilities, labels, counts))
    pairs = (confident * classes + labels)[confident >= 0]
    by_true = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    np.fill_diagonal(by_true, by_true.diagonal().clip(min=1))
    # Last bits decide how halves are rounded, so the order of the sums is cleanlab's, too.
    calibrated = (by_true / by_true.sum(axis=0) * counts).T
    calibrated = calibrated / calibrated.sum() * counts.sum()
    return np.stack([_rounded(row) for row in calibrated])


def _thresholds(
    probabilities: Probabilities, labels: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Returns the mean probability of each class for its own images, infinite without any."""
    own = probabilities[np.arange(len(labels)), labels]
    means = np.bincount(labels, own, minlength=len(counts)) / np.maximum(counts, 1)
    return np.where(counts > 0, np.maximum(means, SMALLEST_THRESHOLD), np.inf)


def _confident_classes(
    probabilities: Probabilities, thresholds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Returns the class that the model is confident of, or -1 where there is none: shape (N,).

    Where it is confident of several, the most probable class of all counts, as in cleanlab; the
    paper takes the most probable of those.
    """
    reached = probabilities >= thresholds - SLACK
    number = reached.sum(axis=1)
    classes = np.where(number > 1, probabilities.argmax(axis=1), reached.argmax(axis=1))
    return np.where(number > 0, classes, -1)


def _rounded(row: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns integers that add up to the sum of `row`, which is whole."""
    rounded = row.round()
    missing = round(row.sum() - rounded.sum())
    order = np.argsort(row - rounded, kind="stable")
    order = order[::-1] if missing > 0 else order
    rounded[order[: abs(missing)]] += np.sign(missing)
    return rounded.astype(np.int64)


def _wrong_labels(joint: Counts) -> Counts:
    """Returns the numbers of wrong labels: what lies off the diagonal of `joint`.

    Where not even one label of a class would be right, the others are reduced to make it one.
    """
    missing = np.maximum(1 - joint.diagonal(), 0)
    kinds = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    wrong: NDArray[np.float64] = joint - (missing / kinds)[:, None]
    np.fill_diagonal(wrong, 0)
    return wrong.clip(min=0).astype(np.int64)


def _lowest(chosen: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the indices of what is chosen, those with the lowest scores first."""
    indices = np.flatnonzero(chosen)
    return indices[np.argsort(scores[indices], kind="stable")]

"""Confident learning: which labels a model doubts with good reason.

The method is that of Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", Journal of Artificial Intelligence Research 70 (2021),
https://arxiv.org/abs/1911.00068: section 3.1, equation 2, and the images off the diagonal of the
confident joint. The cleanlab package calls it ``filter_by="confident_learning"``, and finds the
same images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Labels

SLACK = 1e-6
"""A probability this far below its threshold reaches it, as in cleanlab: sums of floats round."""

SMALLEST_THRESHOLD = 2e-6
"""Lower bound of a threshold, as in cleanlab: a class that no image is predicted for has none."""


@dataclass(frozen=True)
class Suspects:
    """Those images whose labels a model doubts, the most suspect first.

    Attributes:
        order: Their indices: int64, shape (S,).
        suggested: The labels that the model is confident of instead: int64, shape (S,); or, where
            an image may have several, float32, shape (S, classes).
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
    on average for the images with that label. Where it is confident of several, the most probable
    class of all counts, as in cleanlab; the paper takes the most probable of those. A label is
    suspect if the model is confident of another class, and the label is not the most probable.

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
    scores = probabilities[np.arange(len(given)), given]
    doubted, confident = _doubted(probabilities, given)
    order = _lowest(doubted, scores)
    suggested = confident[order]
    return Suspects(order, suggested, scores[order], probabilities[order, suggested])


def _several(probabilities: NDArray[np.float64], given: NDArray[np.bool_]) -> Suspects:
    answers = np.stack([1 - probabilities, probabilities], axis=2)
    doubted = np.zeros_like(given)
    for label in range(given.shape[1]):
        doubted[:, label], _ = _doubted(answers[:, label], given[:, label].astype(np.int64))
    scores = np.where(given, probabilities, 1 - probabilities).min(axis=1, where=doubted, initial=1)
    order = _lowest(doubted.any(axis=1), scores)
    suggested = (given ^ doubted)[order].astype(np.float32)
    return Suspects(order, suggested, scores[order], 1 - scores[order])


def _doubted(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Returns whether each label is suspect, and the class that the model is confident of."""
    rows = np.arange(len(labels))
    thresholds = _thresholds(probabilities[rows, labels], labels, probabilities.shape[1])
    confident = _confident_classes(probabilities, thresholds)
    favored = probabilities.copy()
    favored[rows, labels] += SLACK
    doubted = (confident >= 0) & (confident != labels) & (favored.argmax(axis=1) != labels)
    return doubted, confident


def _lowest(chosen: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the indices of what is chosen, those with the lowest scores first."""
    indices = np.flatnonzero(chosen)
    return indices[np.argsort(scores[indices], kind="stable")]


def _thresholds(
    scores: NDArray[np.float64], labels: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Returns the mean probability of each class for its own images, infinite without any."""
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, scores, minlength=classes)
    means = np.maximum(sums / np.maximum(counts, 1), SMALLEST_THRESHOLD)
    return np.where(counts > 0, means, np.inf)


def _confident_classes(
    probabilities: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Returns the class that the model is confident of, or -1 where there is none: shape (N,)."""
    reached = probabilities >= thresholds - SLACK
    number = reached.sum(axis=1)
    classes = np.where(number > 1, probabilities.argmax(axis=1), reached.argmax(axis=1))
    return np.where(number > 0, classes, -1)

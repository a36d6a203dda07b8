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

SLACK = 1e-6
"""A probability this far below its threshold reaches it, as in cleanlab: sums of floats round."""

SMALLEST_THRESHOLD = 2e-6
"""Lower bound of a threshold, as in cleanlab: a class that no image is predicted for has none."""


@dataclass(frozen=True)
class Suspects:
    """The labels of N images that a model doubts.

    Attributes:
        order: Indices of the suspects, the most suspect first: int64, shape (S,).
        suggested: The class that the model is confident of instead, for each of them: int64,
            shape (S,).
        scores: The probability of the given label, for each of the N images, in [0, 1]: the lower,
            the more suspect; float64, shape (N,).
    """

    order: NDArray[np.int64]
    suggested: NDArray[np.int64]
    scores: NDArray[np.float64]


def find_suspects(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> Suspects:
    """Returns the labels that a model doubts.

    A model is confident of a class if it gives the class at least the probability that it gives it
    on average for the images with that label. Where it is confident of several, the most probable
    class of all counts, as in cleanlab; the paper takes the most probable of those. A label is
    suspect if the model is confident of another class, and the label is not the most probable.

    Args:
        probabilities: Those of a model that was not trained on the images, in [0, 1], shape
            (N, classes).
        labels: The given labels, shape (N,).
    """
    probabilities = probabilities.astype(np.float64)
    rows = np.arange(len(labels))
    scores = probabilities[rows, labels]
    confident = _confident_classes(
        probabilities, _thresholds(scores, labels, probabilities.shape[1])
    )
    favored = probabilities.copy()
    favored[rows, labels] += SLACK
    suspect = (confident >= 0) & (confident != labels) & (favored.argmax(axis=1) != labels)
    indices = np.flatnonzero(suspect)
    order = indices[np.argsort(scores[indices], kind="stable")]
    return Suspects(order, confident[order], scores)


def _thresholds(
    scores: NDArray[np.float64], labels: NDArray[np.integer[Any]], classes: int
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

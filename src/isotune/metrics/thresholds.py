"""Thresholds from which on a class is predicted, where an image may have several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.metrics.average_precision import descending

USUAL = 0.5
"""Threshold of a class that has no image to choose one by."""


def max_f1_thresholds(
    probabilities: NDArray[np.float32], positives: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Returns the threshold of each class with the largest F1: float32, shape (classes,).

    It lies halfway between the probabilities that it divides, so that rounding moves no image
    across it. Of equally good ones it is the one nearest to :data:`USUAL`.

    Args:
        probabilities: float32, shape (N, classes).
        positives: Whether each image is of each class: bool, shape (N, classes).
    """
    columns = zip(probabilities.T, positives.T, strict=True)
    return np.array([_threshold(each, own) for each, own in columns], np.float32)


def _threshold(probabilities: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    images = int(positive.sum())
    if images == 0 or np.isnan(probabilities).any():
        return USUAL
    values, found, last = descending(probabilities, positive)
    ordered = values.astype(np.float64)
    f1 = 2 * found[last] / (images + last + 1)
    above, below = ordered[last], np.append(ordered, 0.0)[last + 1]
    between = ((above + below) / 2).astype(np.float32).astype(np.float64)
    between = np.where(between > below, between, above)
    best = np.flatnonzero(f1 >= f1.max() * (1 - 1e-12))
    return float(between[best[np.abs(between[best] - USUAL).argmin()]])

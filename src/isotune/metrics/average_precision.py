"""Average precision: the area under each class's curve of precision over recall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.metrics.metric import Metric, Scored


def average_precisions(scored: Scored) -> NDArray[np.float64]:
    """Returns the average precision of each class: float64, shape (classes,).

    It is the sum of ``(R_n - R_{n-1}) P_n`` over the distinct probabilities in descending order,
    with the precision P and the recall R of all images that reach them: scikit-learn's
    ``average_precision_score``. NaN for a class that has no image.
    """
    positives = scored.positives
    columns = zip(scored.probabilities.T, positives.T, strict=True)
    return np.array([_area(probabilities, own) for probabilities, own in columns])


def _area(probabilities: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    images = int(positive.sum())
    if images == 0 or np.isnan(probabilities).any():
        return float("nan")
    _, found, last = descending(probabilities, positive)
    precision, recall = found[last] / (last + 1), found[last] / images
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def descending(
    probabilities: NDArray[np.float32], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Returns the probabilities of a class in descending order, and what they find of it.

    Args:
        probabilities: float32, shape (N,), at least one.
        positive: Which images are of the class: bool, shape (N,).

    Returns:
        The ordered probabilities; how many images of the class are among the first ones, int64,
        shape (N,); and the last position of each distinct probability, int64.
    """
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return ordered, np.cumsum(positive[order]), last


def mean_average_precision(scored: Scored) -> float:
    """Returns the mean over the classes that have images; NaN if none has."""
    values = average_precisions(scored)
    present = values[scored.have_images]
    return float(present.mean()) if len(present) else float("nan")


METRICS = (
    Metric(
        "mean_average_precision",
        "mAP",
        mean_average_precision,
        multi_label=mean_average_precision,
        digits=2,
    ),
)

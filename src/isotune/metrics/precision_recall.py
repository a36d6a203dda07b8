"""Precision, recall and F1 of each class, their means over the classes, and those of all labels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isotune.metrics.metric import Metric, Scored


class ClassFigures(NamedTuple):
    """Figures of each class, of shape (classes,); float64 with NaN where they are undefined.

    Attributes:
        images: Number of its images (support), int64.
        predicted: Number of images that it was predicted for, int64.
        correct: Number of images that are in both, int64.
        precision: ``correct / predicted``.
        recall: ``correct / images``, the accuracy on images of the class.
        f1: Their harmonic mean, ``2 correct / (images + predicted)``.
    """

    images: NDArray[np.int64]
    predicted: NDArray[np.int64]
    correct: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def class_figures(scored: Scored) -> ClassFigures:
    """Returns each class's figures."""
    images, predicted, correct = scored.counts
    return ClassFigures(images, predicted, correct, *_figures(images, predicted, correct))


def _figures(
    images: NDArray[np.int64], predicted: NDArray[np.int64], correct: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    """Returns precision, recall and F1."""
    with np.errstate(invalid="ignore"):
        return [correct / predicted, correct / images, 2 * correct / (images + predicted)]


def _macro(figure: int, scored: Scored) -> float:
    """Returns the mean over the classes that occur among labels or predictions.

    A figure that is undefined counts as 0: scikit-learn's ``average="macro"`` with its defaults.
    """
    values = _figures(*scored.counts)[figure][scored.occur]
    return float(np.nan_to_num(values).mean()) if len(values) else 0.0


def _micro(figure: int, scored: Scored) -> float:
    """Returns the figure of all labels together: scikit-learn's ``average="micro"``."""
    totals = (each.sum(keepdims=True) for each in scored.counts)
    return float(np.nan_to_num(_figures(*totals)[figure])[0])


def _metrics() -> Iterator[Metric]:
    """Yields all metrics. With one label an image, micro averages are the accuracy."""
    for figure, (name, label) in enumerate(
        {"precision": "precision", "recall": "recall", "f1": "F1"}.items()
    ):
        macro, micro = partial(_macro, figure), partial(_micro, figure)
        yield Metric(f"macro_{name}", f"macro {label}", macro, multi_label=macro)
        yield Metric(f"micro_{name}", f"micro {label}", None, multi_label=micro)


METRICS = tuple(_metrics())

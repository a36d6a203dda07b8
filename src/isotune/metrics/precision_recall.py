"""Precision, recall and F1 of each class, and their means over the classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isotune.metrics.metric import Metric, ScoredLabels


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


def class_figures(confusion: NDArray[np.int64]) -> ClassFigures:
    """Returns each class's figures.

    Args:
        confusion: int64, shape (classes, classes); a row is a true class.
    """
    images, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    correct = confusion.diagonal()
    with np.errstate(invalid="ignore"):
        precision, recall = correct / predicted, correct / images
        f1 = 2 * correct / (images + predicted)
    return ClassFigures(images, predicted, correct, precision, recall, f1)


def _macro(figure: str, scored: ScoredLabels) -> float:
    """Returns the mean over the classes that occur among labels or predictions.

    A figure that is undefined counts as 0: scikit-learn's ``average="macro"`` with its defaults.
    """
    figures = getattr(class_figures(scored.confusion), figure)
    return float(np.nan_to_num(figures[scored.occur]).mean())


METRICS = (
    Metric("macro_precision", "macro precision", lambda scored: _macro("precision", scored)),
    Metric("macro_recall", "macro recall", lambda scored: _macro("recall", scored)),
    Metric("macro_f1", "macro F1", lambda scored: _macro("f1", scored)),
)

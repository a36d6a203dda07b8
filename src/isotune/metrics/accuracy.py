"""Shares of correct predictions: accuracy, top-5 accuracy, balanced accuracy."""

from __future__ import annotations

import numpy as np

from isotune.metrics.metric import Metric, ScoredLabels

TOP = 5


def accuracy(scored: ScoredLabels) -> float:
    """Returns the share of images whose most likely class is the true one."""
    return float((scored.predicted == scored.labels).mean())


def top5_accuracy(scored: ScoredLabels) -> float:
    """Returns the share of images whose true class is one of the five most likely.

    1 for five classes or fewer. Of equal logits, those of the first classes come first.
    """
    logits, labels = scored.logits, scored.labels[:, None]
    if logits.shape[1] <= TOP:
        return 1.0
    own = np.take_along_axis(logits, labels, axis=1)
    earlier = np.arange(logits.shape[1]) < labels
    before = ~(logits <= own) | ((logits == own) & earlier)  # NaN is never among the first
    return float((before.sum(axis=1) < TOP).mean())


def balanced_accuracy(scored: ScoredLabels) -> float:
    """Returns the mean of the classes' own accuracies, of the classes that have images."""
    images, correct = scored.confusion.sum(axis=1), scored.confusion.diagonal()
    present = scored.have_images
    return float((correct[present] / images[present]).mean())


METRICS = (
    Metric("accuracy", "accuracy", accuracy),
    Metric("top5_accuracy", "top-5 accuracy", top5_accuracy),
    Metric("balanced_accuracy", "balanced accuracy", balanced_accuracy),
)

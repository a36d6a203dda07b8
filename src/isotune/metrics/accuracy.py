"""Shares of correct predictions: of images, of labels, of each class's images."""

from __future__ import annotations

import numpy as np

from isotune.metrics.metric import Metric, ScoredLabels, ScoredMultiLabels

TOP = 5


def accuracy(scored: ScoredLabels) -> float:
    """Returns the share of images whose most likely class is the true one."""
    return float((scored.predicted == scored.labels).mean())


def label_accuracy(scored: ScoredMultiLabels) -> float:
    """Returns the share of correct answers to whether an image is of a class.

    That is fastai's ``accuracy_multi``, Keras's ``BinaryAccuracy`` and 1 - the Hamming loss.
    """
    return float(scored.correct.mean())


def exact_match(scored: ScoredMultiLabels) -> float:
    """Returns the share of images of which exactly the labels are predicted.

    scikit-learn's ``accuracy_score`` of several labels, also known as subset accuracy.
    """
    return float(scored.correct.all(axis=1).mean())


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
    Metric("accuracy", "accuracy", accuracy, multi_label=label_accuracy),
    Metric("exact_match", "exact match", None, multi_label=exact_match),
    Metric("top5_accuracy", "top-5 accuracy", top5_accuracy),
    Metric("balanced_accuracy", "balanced accuracy", balanced_accuracy),
)

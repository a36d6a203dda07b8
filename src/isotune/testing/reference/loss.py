"""PyTorch's ``CrossEntropyLoss`` and ``BCEWithLogitsLoss`` with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Labels
from isotune.testing.reference.layers import Array


def cross_entropy(
    logits: Array,
    labels: Labels,
    smoothing: float = 0.0,
    class_weights: NDArray[np.float32] | None = None,
    multi_label: bool = False,
) -> tuple[float, Array]:
    """Returns the loss and its gradient, shape (N, classes).

    With p the softmax, w the class weights, s the smoothing and C classes, a sample's loss is
    ``-(1 - s) w[label] log p[label] - s / C * sum_c w[c] log p[c]``; the total is divided by
    the sum of ``w[label]``. Of class probabilities t, float32 of shape (N, classes), it is
    ``-sum_c w[c] ((1 - s) t[c] + s / C) log p[c]``; the total is divided by N.
    """
    assert not multi_label
    samples, classes = logits.shape
    weights = np.ones(classes) if class_weights is None else class_weights.astype(np.float64)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    hard = labels.ndim == 1
    total = weights[labels].sum() if hard else samples
    loss, gradient = 0.0, np.zeros_like(logits)
    for i in range(samples):
        share = smoothing / classes * weights
        if hard:
            share[labels[i]] += (1 - smoothing) * weights[labels[i]]
        else:
            share += (1 - smoothing) * weights * labels[i]
        loss -= float(share @ np.log(p[i])) / total
        gradient[i] = (share.sum() * p[i] - share) / total
    return loss, gradient


def binary_cross_entropy(
    logits: Array,
    labels: Labels,
    smoothing: float = 0.0,
    class_weights: NDArray[np.float32] | None = None,
    multi_label: bool = False,
) -> tuple[float, Array]:
    """Returns the loss and its gradient, shape (N, outputs).

    With p the sigmoid of a logit, a logit's loss is ``-t log p - (1 - t) log(1 - p)``; a sample's
    is the mean of its logits'; the total is their mean, weighted by ``w[label]`` or, of class
    probabilities, by ``sum_c t[c] w[c]``. Where an image may have several labels, ``-t log p`` of
    class c has the factor ``w[c]``, and all samples count alike.
    """
    if multi_label:
        return _of_targets(logits, (1 - smoothing) * labels + smoothing / 2, class_weights)
    samples, outputs = logits.shape
    classes = max(outputs, 2)
    weights = np.ones(classes) if class_weights is None else class_weights.astype(np.float64)
    log_p, log_rest = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    p = np.exp(log_p)
    loss, gradient = 0.0, np.zeros_like(logits)
    total = sum(_weight(label, weights) for label in labels)
    for i in range(samples):
        targets = np.full(classes, smoothing / classes)
        if labels.ndim == 1:
            targets[labels[i]] += 1 - smoothing
        else:
            targets += (1 - smoothing) * labels[i]
        targets = targets[classes - outputs :]  # a single logit is the second class's
        share = _weight(labels[i], weights) / total / outputs
        loss -= share * float((targets * log_p[i] + (1 - targets) * log_rest[i]).sum())
        gradient[i] = share * (p[i] - targets)
    return loss, gradient


def _weight(label: NDArray[Any], weights: Array) -> float:
    """Returns the weight of a sample: of its label, or the mean over its class probabilities."""
    return float(weights[label] if label.ndim == 0 else weights @ label)


def _of_targets(
    logits: Array, targets: Array, class_weights: NDArray[np.float32] | None
) -> tuple[float, Array]:
    loss, gradient = 0.0, np.zeros_like(logits)
    for place in np.ndindex(logits.shape):
        z, t = logits[place], targets[place]
        weight = 1.0 if class_weights is None else float(class_weights[place[1]])
        loss += weight * t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z)
        p = np.exp(-np.logaddexp(0, -z))
        gradient[place] = (1 - t) * p - weight * t * (1 - p)
    return loss / logits.size, gradient / logits.size


LOSSES = {"cross_entropy": cross_entropy, "binary_cross_entropy": binary_cross_entropy}

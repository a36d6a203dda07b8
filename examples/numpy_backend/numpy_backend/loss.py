"""The losses of :mod:`isotune.spec.loss` with their gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Labels
from isotune.interfaces.trainer import TrainingPlan
from numpy_backend.layers import Array


def cross_entropy(logits: Array, labels: Labels, plan: TrainingPlan) -> tuple[np.float32, Array]:
    """Returns PyTorch's ``CrossEntropyLoss`` and its gradient with respect to the logits."""
    classes = logits.shape[1]
    weights = np.ones(classes, np.float32) if plan.class_weights is None else plan.class_weights
    total = len(labels) if labels.ndim == 2 else weights[labels].sum()
    targets = _shares(labels, classes) * (1 - plan.label_smoothing)
    targets = (targets + plan.label_smoothing / classes) * weights / total
    shifted = logits - logits.max(1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    gradient = np.exp(log_probabilities) * targets.sum(1, keepdims=True) - targets
    return -(targets * log_probabilities).sum(), gradient.astype(np.float32)


def binary_cross_entropy(
    logits: Array, labels: Labels, plan: TrainingPlan
) -> tuple[np.float32, Array]:
    """Returns the mean of PyTorch's ``BCEWithLogitsLoss`` and its gradient."""
    if plan.multi_label:
        return _of_targets(logits, labels, plan)
    outputs = logits.shape[1]
    classes = max(outputs, 2)
    weights = np.ones(classes, np.float32) if plan.class_weights is None else plan.class_weights
    shares = _shares(labels, classes)
    targets = shares[:, -outputs:] * (1 - plan.label_smoothing)
    targets += plan.label_smoothing / classes
    image_weights = shares @ weights
    share = image_weights[:, None] / image_weights.sum() / outputs
    losses = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    gradient = (1 / (1 + np.exp(-logits.astype(np.float64))) - targets) * share
    return (losses * share).sum(), gradient.astype(np.float32)


def _shares(labels: Labels, classes: int) -> NDArray[np.float32]:
    """Returns the share of each class: float32, shape (N, classes)."""
    hot = np.eye(classes, dtype=np.float32)
    return labels.astype(np.float32) if labels.ndim == 2 else hot[labels]


def _of_targets(logits: Array, labels: Labels, plan: TrainingPlan) -> tuple[np.float32, Array]:
    """Returns the loss of images that may have several labels, float32 (N, classes)."""
    targets = labels * (1 - plan.label_smoothing) + plan.label_smoothing / 2
    weights = np.float32(1) if plan.class_weights is None else plan.class_weights
    below = np.maximum(-logits, 0) + np.log1p(np.exp(-np.abs(logits)))  # -log(sigmoid(logits))
    losses = (1 - targets) * (logits + below) + weights * targets * below
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    gradient = ((1 - targets) * p - weights * targets * (1 - p)) / logits.size
    return losses.mean(), gradient.astype(np.float32)


LOSSES = {"cross_entropy": cross_entropy, "binary_cross_entropy": binary_cross_entropy}

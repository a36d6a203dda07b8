"""The losses of :mod:`isotune.spec.loss`, by PyTorch's own functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.loss import LossName
from isotune_torch.arrays import to_tensor

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes logits, float (N, classes) or (N, 1), and labels, integers (N,) or float (N, classes);
returns a scalar."""


def cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float, multi_label: bool
) -> Tensor:
    """Returns PyTorch's mean cross entropy, of labels or of class probabilities."""
    assert not multi_label, "a softmax is for one label an image"
    return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)


def binary_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float, multi_label: bool
) -> Tensor:
    """Returns the mean over images, weighted by their classes, of the mean over their logits.

    Where an image may have several labels, weights are those of the positive ones.
    """
    outputs = logits.shape[1]
    if multi_label:
        targets = labels * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)
    if labels.dim() == 2:
        hot = labels[:, -outputs:]  # a single logit is that of the second class
    else:
        hot = functional.one_hot(labels, outputs) if outputs > 1 else labels.unsqueeze(1)
    targets = hot.to(logits.dtype) * (1 - smoothing) + smoothing / max(outputs, 2)
    if weights is None:
        return functional.binary_cross_entropy_with_logits(logits, targets)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    image_weights = weights[labels] if labels.dim() == 1 else labels @ weights
    return (losses.mean(1) * image_weights).sum() / image_weights.sum()


LOSSES: dict[LossName, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
}


def make_loss(plan: TrainingPlan, device: torch.device) -> Loss:
    """Returns the plan's loss, with its class weights on `device`."""
    weights = None if plan.class_weights is None else to_tensor(plan.class_weights).to(device)
    return partial(
        LOSSES[plan.loss],
        weights=weights,
        smoothing=plan.label_smoothing,
        multi_label=plan.multi_label,
    )

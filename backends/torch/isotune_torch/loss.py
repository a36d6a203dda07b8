"""The losses of :mod:`isotune.training.loss`, by PyTorch's own functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from isotune.interfaces.trainer import TrainingPlan
from isotune_torch.arrays import to_tensor

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes logits, float (N, classes) or (N, 1), and labels, integers (N,); returns a scalar."""


def make_loss(plan: TrainingPlan, device: torch.device) -> Loss:
    """Returns the plan's loss, its class weights on `device`."""
    weights = None if plan.class_weights is None else to_tensor(plan.class_weights).to(device)
    smoothing = plan.label_smoothing

    def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)

    def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        outputs = logits.shape[1]
        hot = functional.one_hot(labels, outputs) if outputs > 1 else labels.unsqueeze(1)
        targets = hot.to(logits.dtype) * (1 - smoothing) + smoothing / max(outputs, 2)
        if weights is None:
            return functional.binary_cross_entropy_with_logits(logits, targets)
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        of_samples = weights[labels]
        return (losses.mean(1) * of_samples).sum() / of_samples.sum()

    return cross_entropy if plan.loss == "cross_entropy" else binary_cross_entropy

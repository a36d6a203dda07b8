"""The losses of :mod:`isotune.spec.loss`, as cells."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from numpy.typing import NDArray

from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.loss import LossName

TINY = float(np.finfo(np.float32).tiny)


class CrossEntropy(nn.Cell):
    """``sum(-weight * target * log_softmax(logits)) / sum(weight of each label)``.

    `target` is ``1 - smoothing + smoothing / classes`` for the label's class and
    ``smoothing / classes`` for all others (docs.pytorch.org, CrossEntropyLoss). Of labels that
    are class probabilities t, `target` is ``(1 - smoothing) * t + smoothing / classes``, and the
    denominator is their number.

    The fused operation is there for its precision: on CPUs (MindSpore 2.10) the gradient through
    ``log_softmax`` is 20 times further from the true one. It holds for targets that sum to 1, so
    that each sample's weighted targets are divided by their sum and its loss multiplied by it.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        super().__init__()
        self.smoothing = plan.label_smoothing
        self.class_weights = _tensor(plan.class_weights)
        self.cross_entropy = ops.SoftmaxCrossEntropyWithLogits()
        self.one_hot = ops.OneHot()
        self.on, self.off = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Returns the scalar loss of float `logits` (N, classes).

        `labels` are int32, shape (N,), or float, shape (N, classes).
        """
        classes = logits.shape[1]
        hot = labels if labels.ndim == 2 else self.one_hot(labels, classes, self.on, self.off)
        targets = hot * (1 - self.smoothing) + self.smoothing / classes
        if self.class_weights is None:
            return self.cross_entropy(logits, targets)[0].mean()
        weighted = targets * self.class_weights
        sums = weighted.sum(1)
        shares = weighted / ops.maximum(sums, TINY).reshape(-1, 1)
        losses = self.cross_entropy(logits, shares)[0] * sums
        if labels.ndim == 2:
            return losses.mean()
        return losses.sum() / (hot * self.class_weights).sum()


class BinaryCrossEntropy(nn.Cell):
    """``max(z, 0) - z * target + log(1 + exp(-|z|))``, weighted by samples and averaged.

    Where an image may have several labels, weights are those of the positive ones.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        super().__init__()
        self.smoothing = plan.label_smoothing
        self.class_weights = _tensor(plan.class_weights)
        self.multi_label = plan.multi_label
        self.cross_entropy = ops.SigmoidCrossEntropyWithLogits()
        self.one_hot = ops.OneHot()
        self.on, self.off = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Returns the scalar loss of float `logits` (N, outputs).

        `labels` are int32, shape (N,), or float, shape (N, classes).
        """
        if self.multi_label:
            return self.of_targets(logits, labels)
        outputs = logits.shape[1]
        classes = max(outputs, 2)
        hot = labels if labels.ndim == 2 else self.one_hot(labels, classes, self.on, self.off)
        # A single logit is that of the second class.
        own = hot if outputs > 1 else hot[:, 1:]
        targets = own * (1 - self.smoothing) + self.smoothing / classes
        losses = self.cross_entropy(logits, targets).mean(1)
        if self.class_weights is None:
            return losses.mean()
        image_weights = (hot * self.class_weights).sum(1)
        return (losses * image_weights).sum() / image_weights.sum()

    def of_targets(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Returns the scalar loss of float `logits` and `labels`, both (N, classes)."""
        targets = labels * (1 - self.smoothing) + self.smoothing / 2
        losses = self.cross_entropy(logits, targets)
        if self.class_weights is None:
            return losses.mean()
        # The operation's loss with the target 1 is -log(sigmoid(z)), which positives are due more.
        positive = self.cross_entropy(logits, ops.ones_like(targets))
        return (losses + (self.class_weights - 1) * targets * positive).mean()


LOSSES: dict[LossName, type[nn.Cell]] = {
    "cross_entropy": CrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
}


def make_loss(plan: TrainingPlan) -> nn.Cell:
    """Returns the plan's loss."""
    return LOSSES[plan.loss](plan)


def _tensor(class_weights: NDArray[np.float32] | None) -> Tensor | None:
    return None if class_weights is None else Tensor(np.array(class_weights, np.float32))

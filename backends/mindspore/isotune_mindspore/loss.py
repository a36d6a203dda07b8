"""The loss: PyTorch's ``CrossEntropyLoss`` with the mean, as a cell."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from numpy.typing import NDArray


class CrossEntropy(nn.Cell):
    """``sum(-weight * target * log_softmax(logits)) / sum(weight of each label)``.

    `target` is ``1 - smoothing + smoothing / classes`` for the label's class and
    ``smoothing / classes`` for all others (docs.pytorch.org, CrossEntropyLoss).
    """

    def __init__(self, smoothing: float, class_weights: NDArray[np.float32] | None) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.class_weights = None
        if class_weights is not None:
            self.class_weights = Tensor(np.array(class_weights, np.float32))

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Returns the scalar loss of float `logits` (N, classes) and int32 `labels` (N,)."""
        batch, classes = logits.shape
        chosen = ops.one_hot(labels, classes, Tensor(1.0, ms.float32), Tensor(0.0, ms.float32))
        targets = chosen * (1 - self.smoothing) + self.smoothing / classes
        total = batch
        if self.class_weights is not None:
            targets = targets * self.class_weights
            total = (chosen * self.class_weights).sum()
        return -(targets * ops.log_softmax(logits, -1)).sum() / total

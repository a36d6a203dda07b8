"""What logits say: the likeliest class, and the probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.spec.loss import PROBABILITIES, LossName


def scores(logits: NDArray[np.float32], loss: LossName) -> NDArray[np.float32]:
    """Returns a score for each class, the higher the likelier: float32, shape (N, classes).

    After ``binary_cross_entropy`` a single logit is the second class's, and the first one's is
    then 0: a sigmoid is the softmax of both. After ``cross_entropy`` it is that of the only class,
    as earlier versions trained it.

    Args:
        logits: float32, shape (N, classes), or (N, 1) for two classes.
        loss: The loss that the model was trained with.
    """
    if logits.shape[1] > 1 or loss == "cross_entropy":
        return logits
    return np.concatenate([np.zeros_like(logits), logits], axis=1)


def predicted(logits: NDArray[np.float32], loss: LossName) -> NDArray[np.int64]:
    """Returns the label of each row's likeliest class, the first of equals: int64, shape (N,)."""
    labels: NDArray[np.int64] = scores(logits, loss).argmax(axis=1)
    return labels


def probabilities(logits: NDArray[np.float32], loss: LossName) -> NDArray[np.float32]:
    """Returns the probabilities of all classes: float32, shape (N, classes).

    After ``cross_entropy`` they are a softmax. After ``binary_cross_entropy`` they are the sigmoid
    of each logit and sum to 1 only if a single logit stands for two classes.

    Args:
        logits: float32, shape (N, classes), or (N, 1) for two classes.
        loss: The loss that the model was trained with.
    """
    return PROBABILITIES[loss](logits).astype(np.float32)

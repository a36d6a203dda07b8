"""What logits say: the likeliest class, and the probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.spec.loss import LossName


def scores(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns a score for each class, the higher the likelier: float32, shape (N, classes).

    A single logit is the second class's, and the first one's is then 0: a sigmoid is the softmax
    of both.

    Args:
        logits: float32, shape (N, classes), or (N, 1) for two classes.
    """
    if logits.shape[1] > 1:
        return logits
    return np.concatenate([np.zeros_like(logits), logits], axis=1)


def predicted(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Returns the label of each row's likeliest class, the first of equals: int64, shape (N,)."""
    labels: NDArray[np.int64] = scores(logits).argmax(axis=1)
    return labels


def probabilities(logits: NDArray[np.float32], loss: LossName) -> NDArray[np.float32]:
    """Returns the probabilities of all classes: float32, shape (N, classes).

    They are a softmax. After training with ``binary_cross_entropy`` they are the sigmoid of each
    logit, which only for two classes with a single output need to sum to 1.

    Args:
        logits: float32, shape (N, classes), or (N, 1) for two classes.
        loss: what the model was trained with.
    """
    values = scores(logits).astype(np.float64)
    sigmoids = loss == "binary_cross_entropy" and logits.shape[1] > 1
    shares: NDArray[np.float32] = (_sigmoid if sigmoids else _softmax)(values).astype(np.float32)
    return shares


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    small = np.exp(-np.abs(values))
    shares: NDArray[np.float64] = np.where(values >= 0, 1.0, small) / (1.0 + small)
    return shares


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # of infinite logits they are NaN: no need to warn
        powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares

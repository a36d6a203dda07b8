"""The loss of a spec, and its definition in NumPy.

Validation uses the definition, so that every backend reports the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from isotune.spec.base import SpecModel

LossName = Literal["cross_entropy", "binary_cross_entropy"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LossSpec(SpecModel):
    """PyTorch's ``CrossEntropyLoss`` or ``BCEWithLogitsLoss``.

    Attributes:
        name: ``cross_entropy``, whose probabilities are a softmax; ``binary_cross_entropy``,
            whose probabilities are sigmoids: each logit says whether the image is of its class.
        label_smoothing: share of the target spread over all classes.
        class_weights: ``none``; ``balanced`` (samples / (classes * samples of the class), as
            in scikit-learn); or a weight for every class by name.
    """

    name: LossName = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] | dict[str, Positive] = "none"


def cross_entropy(
    logits: NDArray[np.float32],
    labels: NDArray[np.int32],
    label_smoothing: float = 0.0,
    class_weights: NDArray[np.float32] | None = None,
) -> tuple[float, float]:
    """Returns the sums (numerator, denominator) whose quotient is PyTorch's mean loss.

    PyTorch documents ``CrossEntropyLoss`` with reduction ``mean`` as the weighted sum of the
    samples' losses over the sum of their labels' weights; with smoothing s, the target is
    ``(1 - s) * onehot + s / classes``. Sums of batches add up.

    Args:
        logits: float32, shape (N, classes).
        labels: int32, shape (N,).
        label_smoothing: s.
        class_weights: float32, shape (classes,), or None.
    """
    scores = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of infinite logits the loss is NaN: no need to warn
        scores -= scores.max(axis=1, keepdims=True)
    log_probabilities = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    classes = logits.shape[1]
    weights = np.ones(classes) if class_weights is None else class_weights.astype(np.float64)
    rows = np.arange(len(labels))
    hard = -(weights[labels] * log_probabilities[rows, labels]).sum()
    soft = -(log_probabilities * weights).sum() / classes
    total = (1 - label_smoothing) * hard + label_smoothing * soft
    return float(total), float(weights[labels].sum())


def binary_cross_entropy(
    logits: NDArray[np.float32],
    labels: NDArray[np.int32],
    label_smoothing: float = 0.0,
    class_weights: NDArray[np.float32] | None = None,
) -> tuple[float, float]:
    """Returns the sums (numerator, denominator) whose quotient is the mean loss.

    A sample's loss is the mean over its logits z of PyTorch's ``BCEWithLogitsLoss``,
    ``(1 - t) z + max(-z, 0) + log(1 + exp(-|z|))``. The target t is 1 for the label's logit and 0
    for others (a single logit is that of the second class), and with smoothing s it is
    ``(1 - s) t + s / classes``. Class weights weigh samples by their labels, as in cross entropy.

    Args:
        logits: float32, shape (N, classes), or (N, 1) for two classes.
        labels: int32, shape (N,).
        label_smoothing: s.
        class_weights: float32, shape (classes,), or None.
    """
    z = logits.astype(np.float64)
    outputs = z.shape[1]
    hot = labels[:, None] == (np.arange(outputs) if outputs > 1 else 1)
    targets = (1 - label_smoothing) * hot + label_smoothing / max(outputs, 2)
    losses = (1 - targets) * z + np.maximum(-z, 0) + np.log1p(np.exp(-np.abs(z)))
    weights = np.ones(len(labels)) if class_weights is None else class_weights[labels].astype("f8")
    return float((losses.mean(axis=1) * weights).sum()), float(weights.sum())


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the probabilities (N, classes) of a model trained with cross entropy."""
    values = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of infinite logits they are NaN: no need to warn
        powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the probabilities (N, classes) of a model trained with binary cross entropy.

    A single logit is that of the second of two classes, whose probabilities sum to 1.
    """
    values = logits.astype(np.float64)
    if values.shape[1] == 1:
        values = np.concatenate([-values, values], axis=1)
    small = np.exp(-np.abs(values))
    shares: NDArray[np.float64] = np.where(values >= 0, 1.0, small) / (1.0 + small)
    return shares


LOSSES: dict[LossName, Callable[..., tuple[float, float]]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
}
"""The losses by the spec's names."""

PROBABILITIES: dict[LossName, Callable[[NDArray[np.float32]], NDArray[np.float64]]] = {
    "cross_entropy": softmax,
    "binary_cross_entropy": sigmoid,
}
"""What turns logits into probabilities, by the loss that the model was trained with."""

"""The loss of a spec, and its definition in NumPy.

Validation uses the definition, so that every backend reports the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Union

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from isotune.spec.base import SpecModel
from isotune.spec.values import Positive

LossName = Literal["cross_entropy", "binary_cross_entropy"]

Targets = Union[NDArray[np.int32], NDArray[np.float32]]
"""Labels of N images: int32, shape (N,); or the target of each class: float32, shape (N, classes),
in [0, 1]. Of images that may have several labels, each class has a target of its own; of others
that were mixed, they are the shares of the classes, as probabilities are, and sum to 1."""


class LossSpec(SpecModel):
    """PyTorch's ``CrossEntropyLoss`` or ``BCEWithLogitsLoss``.

    Attributes:
        name: ``cross_entropy``: probabilities are a softmax; ``binary_cross_entropy``:
            probabilities are sigmoids, each logit says whether the image is of its class. Where an
            image may have several labels, it is ``binary_cross_entropy`` unless it is given, and
            has to be.
        label_smoothing: Share of the target that is spread evenly over all classes. Where an image
            may have several labels, over both answers, as in Keras's ``BinaryCrossentropy``: with
            0.1 the targets are 0.95 and 0.05.
        class_weights: ``none``; ``balanced``: images / (classes * images of the class), as in
            scikit-learn; or a weight for every class by name. Where an image may have several
            labels, they weigh each class's positive labels, as ``pos_weight`` of PyTorch's
            ``BCEWithLogitsLoss`` does, and ``balanced`` is images without the label / images
            with it. With ``mixing``, an image has the shares of several classes: cross entropy
            then weighs shares, as PyTorch's does with class probabilities, and binary cross
            entropy weighs an image by the mean of its classes' weights.
    """

    name: LossName = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] | dict[str, Positive] = "none"


def cross_entropy(
    logits: NDArray[np.float32],
    labels: Targets,
    label_smoothing: float = 0.0,
    class_weights: NDArray[np.float32] | None = None,
    multi_label: bool = False,
) -> tuple[float, float]:
    """Returns the sums (numerator, denominator) whose quotient is PyTorch's mean loss.

    PyTorch documents ``CrossEntropyLoss`` with reduction ``mean`` as the weighted sum of the
    samples' losses over the sum of their labels' weights; with smoothing s, the target is
    ``(1 - s) * onehot + s / classes``. Sums of batches add up.

    Of targets t that are class probabilities, it documents ``-w ((1 - s) t + s / classes)
    log(softmax(logits))``, summed over classes and samples, over the number of samples: weights
    are not in the denominator.

    Args:
        logits: float32, shape (N, classes).
        labels: The labels, or the shares of the classes.
        label_smoothing: s.
        class_weights: float32, shape (classes,), or None.
        multi_label: Not for this loss: always False.
    """
    assert not multi_label, "a softmax is for one label an image"
    log_probabilities = _log_softmax(logits)
    classes = logits.shape[1]
    weights = np.ones(classes) if class_weights is None else class_weights.astype(np.float64)
    if labels.ndim == 2:
        targets = (1 - label_smoothing) * labels.astype(np.float64) + label_smoothing / classes
        return float(-(targets * weights * log_probabilities).sum()), float(len(labels))
    rows = np.arange(len(labels))
    hard = -(weights[labels] * log_probabilities[rows, labels]).sum()
    soft = -(log_probabilities * weights).sum() / classes
    total = (1 - label_smoothing) * hard + label_smoothing * soft
    return float(total), float(weights[labels].sum())


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    scores = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of infinite logits the loss is NaN: no need to warn
        scores -= scores.max(axis=1, keepdims=True)
    logarithms: NDArray[np.float64] = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return logarithms


def binary_cross_entropy(
    logits: NDArray[np.float32],
    labels: Targets,
    label_smoothing: float = 0.0,
    class_weights: NDArray[np.float32] | None = None,
    multi_label: bool = False,
) -> tuple[float, float]:
    """Returns the sums (numerator, denominator) whose quotient is the mean loss.

    A sample's loss is the mean over its logits z of PyTorch's ``BCEWithLogitsLoss``,
    ``(1 - t) z + (1 + (p - 1) t) (max(-z, 0) + log(1 + exp(-|z|)))``.

    With one label an image, the target t is 1 for the label's logit and 0 for others (a single
    logit is that of the second class), and with smoothing s it is ``(1 - s) t + s / classes``.
    Class weights weigh samples by their labels, as in cross entropy, and p is 1. The same holds for
    shares of classes, which are t: a sample's weight is then the sum of ``t w`` over its classes,
    which of a single class is that of its label. With several labels, the targets are given, and
    smoothed they are ``(1 - s) t + s / 2``; class weights are p, PyTorch's ``pos_weight``, and all
    samples have the weight 1.

    Args:
        logits: float32, shape (N, classes), or (N, 1) for two classes.
        labels: The labels or targets.
        label_smoothing: s.
        class_weights: float32, shape (classes,), or None.
        multi_label: Whether an image may have several labels.
    """
    z = logits.astype(np.float64)
    outputs = z.shape[1]
    factors = None if class_weights is None else class_weights.astype(np.float64)
    weights, positive, answers = np.ones(len(labels)), None, max(outputs, 2)
    if labels.ndim == 1:
        hot = (labels[:, None] == (np.arange(outputs) if outputs > 1 else 1)).astype(np.float64)
        weights = weights if factors is None else factors[labels]
    elif multi_label:
        hot, answers, positive = labels.astype(np.float64), 2, factors
    else:
        shares = labels.astype(np.float64)
        hot = shares[:, -outputs:]
        weights = weights if factors is None else shares @ factors
    targets = (1 - label_smoothing) * hot + label_smoothing / answers
    losses = np.maximum(-z, 0) + np.log1p(np.exp(-np.abs(z)))
    if positive is not None:
        losses *= 1 + (positive - 1) * targets
    losses += (1 - targets) * z
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


def mean_softmax(logits: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns logits whose softmax is the mean of two: its logarithms, shape (N, classes)."""
    sums: NDArray[np.float64] = np.logaddexp(_log_softmax(logits), _log_softmax(others))
    sums -= np.log(2)
    return sums


def mean_sigmoid(logits: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns logits whose sigmoids are the means of those of two: log-odds, shape (N, outputs)."""
    both = np.stack([logits, others]).astype(np.float64)
    odds: NDArray[np.float64] = np.logaddexp(*-np.logaddexp(0, -both))
    odds -= np.logaddexp(*-np.logaddexp(0, both))
    return odds


MEANS: dict[LossName, Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float64]]] = {
    "cross_entropy": mean_softmax,
    "binary_cross_entropy": mean_sigmoid,
}
"""What returns logits whose probabilities are the means of those of two arrays of logits."""

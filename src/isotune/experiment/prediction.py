"""What a model predicts for an image: its classes with their probabilities, and its labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from isotune.spec.loss import LossName
from isotune.training.probabilities import probabilities, scores


class Prediction(list[tuple[str, float]]):
    """Classes and their probabilities, the most likely first.

    Attributes:
        labels: The predicted classes, the most likely first: where an image has one label, the
            most likely class; where it may have several, those whose probability reaches their
            threshold, whether or not they are among the classes that were asked for.
    """

    def __init__(self, classes: Iterable[tuple[str, float]], labels: tuple[str, ...]) -> None:
        super().__init__(classes)
        self.labels = labels


def ranked(
    logits: NDArray[np.float32],
    loss: LossName,
    classes: Sequence[str],
    thresholds: NDArray[np.float32] | None,
    top: int | None,
) -> Iterator[Prediction]:
    """Yields the prediction of each row of logits.

    Args:
        logits: float32, shape (N, outputs).
        loss: The loss that the model was trained with.
        classes: Class names, in label order.
        thresholds: float32, shape (classes,), where an image may have several labels, or None.
        top: Number of classes of a prediction; None for all.
    """
    # By logits: probabilities close to 1 may round to the same number.
    orders = np.argsort(-scores(logits, loss), axis=1, kind="stable")
    for order, row in zip(orders.tolist(), probabilities(logits, loss), strict=True):
        if thresholds is None:
            labels = order[:1]
        else:
            labels = [label for label in order if row[label] >= thresholds[label]]
        pairs = [(classes[label], float(row[label])) for label in order[:top]]
        yield Prediction(pairs, tuple(classes[label] for label in labels))

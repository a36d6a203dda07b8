"""What a metric is, and what it is computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoredLabels:
    """Outputs of a model for labeled images. N is at least 1.

    Attributes:
        loss: The experiment's mean loss, with its label smoothing and class weights.
        logits: float32, shape (N, classes), or (N, 1) from a single output.
        probabilities: float32, shape (N, classes).
        predicted: Labels of the most likely classes, the first of equals: int64, shape (N,).
        labels: int32, shape (N,).
    """

    loss: float
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    predicted: NDArray[np.int64]
    labels: NDArray[np.int32]

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Number of images of each true class (rows) and predicted class (columns).

        int64, shape (classes, classes).
        """
        classes = self.probabilities.shape[1]
        pairs = self.labels.astype(np.int64) * classes + self.predicted
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @property
    def have_images(self) -> NDArray[np.bool_]:
        """Whether there are images of each class: bool, shape (classes,)."""
        result: NDArray[np.bool_] = self.confusion.any(axis=1)
        return result

    @property
    def occur(self) -> NDArray[np.bool_]:
        """Whether each class has images or is predicted for one: bool, shape (classes,)."""
        predicted: NDArray[np.bool_] = self.confusion.any(axis=0)
        return predicted | self.have_images


@dataclass(frozen=True)
class Metric:
    """A metric of a classifier.

    Attributes:
        name: Identifies it in specs and files, where ``val_`` stands before it.
        label: Heading of its columns and curves.
        function: Computes it; NaN where it is undefined.
        higher_is_better: Whether an increase is an improvement.
        format: How its values are written: a fraction as a percentage, or the number.
        digits: Decimals in the line of an epoch; tables show one or two more.
    """

    name: str
    label: str
    function: Callable[[ScoredLabels], float]
    higher_is_better: bool = True
    format: Literal["percent", "number"] = "percent"
    digits: int = 1

"""What a metric is, and what it is computed from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


class ClassCounts(NamedTuple):
    """Numbers of images of each class, int64, shape (classes,).

    Attributes:
        images: Number of its images (support).
        predicted: Number of images that it was predicted for.
        correct: Number of images that are in both.
    """

    images: NDArray[np.int64]
    predicted: NDArray[np.int64]
    correct: NDArray[np.int64]


@dataclass(frozen=True)
class Scored(ABC):
    """Outputs of a model for labeled images. N is at least 1.

    Attributes:
        loss: The experiment's mean loss, with its label smoothing and class weights.
        logits: float32, shape (N, classes), or (N, 1) from a single output.
        probabilities: float32, shape (N, classes).
    """

    loss: float
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    @property
    @abstractmethod
    def positives(self) -> NDArray[np.bool_]:
        """Whether each image is of each class: bool, shape (N, classes)."""

    @property
    @abstractmethod
    def counts(self) -> ClassCounts:
        """Numbers of images of each class."""

    @abstractmethod
    def value(self, metric: Metric) -> float:
        """Returns the value of a metric that applies to these labels."""

    @property
    def have_images(self) -> NDArray[np.bool_]:
        """Whether there are images of each class: bool, shape (classes,)."""
        return self.counts.images > 0

    @property
    def occur(self) -> NDArray[np.bool_]:
        """Whether each class has images or is predicted for one: bool, shape (classes,)."""
        return self.have_images | (self.counts.predicted > 0)


@dataclass(frozen=True)
class ScoredLabels(Scored):
    """Outputs for images that have one label each.

    Attributes:
        predicted: Labels of the most likely classes, the first of equals: int64, shape (N,).
        labels: int32, shape (N,).
    """

    predicted: NDArray[np.int64]
    labels: NDArray[np.int32]
    thresholds: ClassVar[None] = None

    @property
    def positives(self) -> NDArray[np.bool_]:
        """Whether each image is of each class: bool, shape (N, classes)."""
        positives: NDArray[np.bool_] = self.labels[:, None] == np.arange(
            self.probabilities.shape[1]
        )
        return positives

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Number of images of each true class (rows) and predicted class (columns).

        int64, shape (classes, classes).
        """
        classes = self.probabilities.shape[1]
        pairs = self.labels.astype(np.int64) * classes + self.predicted
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @property
    def counts(self) -> ClassCounts:
        """Numbers of images of each class."""
        matrix = self.confusion
        return ClassCounts(matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal())

    def value(self, metric: Metric) -> float:
        """Returns the value of a metric that applies to one label an image."""
        assert metric.function is not None, f"{metric.name} is for several labels an image"
        return metric.function(self)


@dataclass(frozen=True)
class ScoredMultiLabels(Scored):
    """Outputs for images that have any number of labels each.

    Attributes:
        predicted: Whether each class's probability reaches its threshold: bool, shape (N, classes).
        labels: float32, shape (N, classes), 1 for the classes that the image has, 0 for others.
        thresholds: float32, shape (classes,).
    """

    predicted: NDArray[np.bool_]
    labels: NDArray[np.float32]
    thresholds: NDArray[np.float32]

    @property
    def positives(self) -> NDArray[np.bool_]:
        """Whether each image is of each class: bool, shape (N, classes)."""
        return self.labels > 0.5

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each class is predicted where it is a label, and only there: (N, classes)."""
        correct: NDArray[np.bool_] = self.predicted == self.positives
        return correct

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Of each class, number of images without (row 0) and with (row 1) the label.

        Columns are those for which it was not predicted and for which it was, as in scikit-learn's
        ``multilabel_confusion_matrix``: int64, shape (classes, 2, 2).
        """
        images, predicted, correct = self.counts
        neither = len(self.labels) - images - predicted + correct
        rows = [[neither, predicted - correct], [images - correct, correct]]
        return np.array(rows).transpose(2, 0, 1)

    @cached_property
    def counts(self) -> ClassCounts:
        """Numbers of images of each class."""
        both = self.positives & self.predicted
        return ClassCounts(*(each.sum(axis=0) for each in (self.positives, self.predicted, both)))

    def value(self, metric: Metric) -> float:
        """Returns the value of a metric that applies to several labels an image."""
        assert metric.multi_label is not None, f"{metric.name} is for one label an image"
        return metric.multi_label(self)


@dataclass(frozen=True)
class Metric:
    """A metric of a classifier.

    Attributes:
        name: Identifies it in specs and files, where ``val_`` stands before it.
        label: Heading of its columns and curves.
        function: Computes it for images that have one label each; NaN where it is undefined. None
            if it does not apply to them.
        higher_is_better: Whether an increase is an improvement.
        format: How its values are written: a fraction as a percentage, or the number.
        digits: Decimals in the line of an epoch; tables show one or two more.
        multi_label: Computes it for images that may have several labels; None if it does not apply
            to them.
    """

    name: str
    label: str
    function: Callable[[ScoredLabels], float] | None
    higher_is_better: bool = True
    format: Literal["percent", "number"] = "percent"
    digits: int = 1
    multi_label: Callable[[ScoredMultiLabels], float] | None = None

    def text(self, value: float | None, exact: bool = False) -> str:
        """Returns a value as it is written: ``91.8%``, ``0.2050``; a dash for None and NaN.

        Args:
            value: The value.
            exact: Whether to show more digits than fit the line of an epoch.
        """
        if value is None or math.isnan(value):
            return "-"
        match self.format:
            case "percent":
                return f"{value:.{self.digits + exact}%}"
            case "number":
                kind = "g" if abs(value) >= 1e5 else "f"
                return f"{value:.{self.digits + 2 * exact}{kind}}"

    def applies(self, multi_label: bool) -> bool:
        """Whether it is defined where an image may have several labels, or where it has one."""
        return (self.multi_label if multi_label else self.function) is not None

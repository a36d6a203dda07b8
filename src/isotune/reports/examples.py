"""Images of a split with the predictions of a run's model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_never

from isotune.interfaces.dataset import ImageSource
from isotune.reports.drawing import CORRECT, WRONG
from isotune.reports.grid import Tile, small
from isotune.reports.numbers import percent
from isotune.training.evaluation import AnyEvaluation, Evaluation, MultiLabelEvaluation

NO_LABEL = "no label"
"""What stands for the labels of an image that has none."""


@dataclass(frozen=True)
class Example:
    """An image with its label and a prediction.

    Attributes:
        image: uint8, shape (height, width, 3), RGB, of any size.
        label: name of the true class; where an image may have several labels, the names of all.
        predicted: name of the predicted class, or the names of all.
        probability: probability of the predicted class, in [0, 1]; None of any number of classes.
        identity: the image's name, usually its path.
    """

    image: NDArray[np.uint8]
    label: str
    predicted: str
    probability: float | None
    identity: str = ""

    @property
    def correct(self) -> bool:
        """Whether the prediction is the label."""
        return self.predicted == self.label

    def tile(self, note: str = "") -> Tile:
        """Returns a tile for a figure, with a title in blue if correct, else in red with the label.

        Args:
            note: text below the image.
        """
        title = self.predicted
        if self.probability is not None:
            title = f"{title} {percent(self.probability)}"
        if self.correct:
            return Tile(self.image, title, CORRECT, note)
        return Tile(self.image, f"{title} (true: {self.label})", WRONG, note)


def images_of(split: str, flip: bool) -> str:
    """Returns what figures call the images of a split, with `flip` averaged with mirror images."""
    return f"{split} with mirror images" if flip else split


def evenly(total: int, count: int) -> list[int]:
    """Returns at most `count` evenly spaced positions below `total`."""
    size = min(count, total)
    return [int((position + 0.5) * total / size) for position in range(size)]


def examples_at(
    indices: Sequence[int], source: ImageSource, evaluation: AnyEvaluation
) -> list[Example]:
    """Returns the images of `source` at `indices`, with the predictions of `evaluation`."""
    return [
        Example(
            image=small(source.load(index)),
            label=listed(source.label_names(index)),
            predicted=predicted,
            probability=probability,
            identity=source.identify(index),
        )
        for index in indices
        for predicted, probability in [_prediction(evaluation, index, source.classes)]
    ]


def listed(names: Sequence[str]) -> str:
    """Returns the labels of an image as text."""
    return ", ".join(names) or NO_LABEL


def shared(shares: NDArray[np.float32], classes: Sequence[str]) -> str:
    """Returns the classes of a mixed image as text, as ``ants 0.63, bees 0.37``.

    The largest share comes first; where all are whole, the names alone are left.

    Args:
        shares: The share of each class: float32, shape (classes,).
        classes: Class names, in label order.
    """
    rounded = shares.astype(float).round(2)
    there = [label for label in np.argsort(-rounded, kind="stable").tolist() if rounded[label]]
    if all(rounded[label] == 1 for label in there):
        return listed([classes[label] for label in there])
    return ", ".join(f"{classes[label]} {rounded[label]:.2f}" for label in there)


def _prediction(
    evaluation: AnyEvaluation, index: int, classes: Sequence[str]
) -> tuple[str, float | None]:
    """Returns the predicted classes of an image and, if it is one, its probability."""
    match evaluation:
        case Evaluation():
            label = int(evaluation.predicted[index])
            return classes[label], float(evaluation.probabilities[index, label])
        case MultiLabelEvaluation():
            labels = np.flatnonzero(evaluation.predicted[index])
            return listed([classes[label] for label in labels]), None
        case _:
            assert_never(evaluation)

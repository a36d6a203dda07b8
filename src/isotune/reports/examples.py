"""Images of a split with the predictions of a run's model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import ImageSource
from isotune.reports.drawing import CORRECT, WRONG
from isotune.reports.grid import Tile, small
from isotune.reports.numbers import percent
from isotune.training.evaluation import Evaluation


@dataclass(frozen=True)
class Example:
    """An image with its label and a prediction.

    Attributes:
        image: uint8, shape (height, width, 3), RGB, of any size.
        label: name of the true class.
        predicted: name of the predicted class.
        probability: probability of the predicted class, in [0, 1].
        identity: the image's name, usually its path.
    """

    image: NDArray[np.uint8]
    label: str
    predicted: str
    probability: float
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
        title = f"{self.predicted} {percent(self.probability)}"
        if self.correct:
            return Tile(self.image, title, CORRECT, note)
        return Tile(self.image, f"{title} (true: {self.label})", WRONG, note)


def evenly(total: int, count: int) -> list[int]:
    """Returns at most `count` evenly spaced positions below `total`."""
    size = min(count, total)
    return [int((position + 0.5) * total / size) for position in range(size)]


def examples_at(
    indices: Sequence[int], source: ImageSource, evaluation: Evaluation
) -> list[Example]:
    """Returns the images of `source` at `indices`, with the predictions of `evaluation`."""
    return [
        Example(
            image=small(source.load(index)),
            label=source.classes[evaluation.labels[index]],
            predicted=source.classes[evaluation.predicted[index]],
            probability=float(evaluation.probabilities[index, evaluation.predicted[index]]),
            identity=source.identify(index),
        )
        for index in indices
    ]

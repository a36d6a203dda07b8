"""Images of a split with what a run's model takes them for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import ImageSource
from isotune.reports.drawing import RIGHT, WRONG
from isotune.reports.grid import Tile, small
from isotune.reports.numbers import percent
from isotune.training.evaluation import Evaluation


@dataclass(frozen=True)
class Example:
    """A image, what it is and what the model takes it for.

    Attributes:
        image: uint8, shape (height, width, 3), RGB, of any size.
        probability: of the predicted class, 0 to 1.
        identity: what a person would look for to find the image, its path usually.
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
        """Returns it for a figure: titled in blue if it is right, else in red with what it is."""
        title = f"{self.predicted} {percent(self.probability)}"
        if self.correct:
            return Tile(self.image, title, RIGHT, note)
        return Tile(self.image, f"{title} (true: {self.label})", WRONG, note)


def evenly(total: int, count: int) -> list[int]:
    """Returns `count` of the positions below `total`, or all, each in the middle of its stretch."""
    size = min(count, total)
    return [int((position + 0.5) * total / size) for position in range(size)]


def examples_at(indices: Sequence[int], source: ImageSource, found: Evaluation) -> list[Example]:
    """Returns the images of `source` at `indices`, with what its evaluation found."""
    return [
        Example(
            image=small(source.load(index)),
            label=source.classes[found.labels[index]],
            predicted=source.classes[found.predicted[index]],
            probability=float(found.probabilities[index, found.predicted[index]]),
            identity=source.identify(index),
        )
        for index in indices
    ]

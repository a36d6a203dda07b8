"""Pictures of a split with what a run's model takes them for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.data.images import open_labelled
from isotune.data.sources.subset import Subset
from isotune.experiment.result import Run
from isotune.interfaces.dataset import ImageSource
from isotune.reports.drawing import RIGHT, WRONG
from isotune.reports.grid import Tile, small
from isotune.reports.numbers import percent
from isotune.training.evaluation import Evaluation


@dataclass(frozen=True)
class Example:
    """A picture, what it is and what the model takes it for.

    Attributes:
        image: uint8, shape (height, width, 3), RGB, of any size.
        probability: of the predicted class, 0 to 1.
        identity: what a person would look for to find the picture, its path usually.
    """

    image: NDArray[np.uint8]
    label: str
    predicted: str
    probability: float
    identity: str = ""

    @property
    def right(self) -> bool:
        """Whether the prediction is the label."""
        return self.predicted == self.label

    def tile(self, note: str = "") -> Tile:
        """Returns it for a figure: titled in blue if it is right, else in red with what it is."""
        title = f"{self.predicted} {percent(self.probability)}"
        if self.right:
            return Tile(self.image, title, RIGHT, note)
        return Tile(self.image, f"{title} (is {self.label})", WRONG, note)


def examples(run: Run, count: int, split: str | None = None) -> list[Example]:
    """Predicts `count` pictures taken evenly from a split, so that every class has its share.

    Args:
        run: whose model predicts.
        count: how many pictures, if there are as many.
        split: the split's name; None takes the validation split.

    Raises:
        DatasetError: the split's pictures are missing or broken.
    """
    source = open_labelled(run.spec, run.classes, split)
    chosen = Subset(source, evenly(len(source), count))
    if not len(chosen):
        return []
    return examples_at(range(len(chosen)), chosen, run.evaluate_source(chosen))


def evenly(total: int, count: int) -> list[int]:
    """Returns `count` of the positions below `total`, or all, each in the middle of its stretch."""
    size = min(count, total)
    return [int((position + 0.5) * total / size) for position in range(size)]


def examples_at(indices: Sequence[int], source: ImageSource, found: Evaluation) -> list[Example]:
    """Returns the pictures of `source` at `indices`, with what its evaluation found."""
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

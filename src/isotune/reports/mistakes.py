"""A model's most confident mistakes as a figure and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isotune.interfaces.dataset import ImageSource
from isotune.reports.examples import Example, examples_at
from isotune.reports.grid import grid
from isotune.reports.numbers import count as counted
from isotune.reports.numbers import number
from isotune.reports.tables import Table
from isotune.training.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE_LENGTH = 90
"""Largest number of characters of a path in an image's note, from its end."""


@dataclass(frozen=True)
class Mistakes:
    """The mistakes of a model on a split.

    Attributes:
        name: the experiment's name.
        split: the split's name.
        images: number of images of the split.
        count: number of mistakes.
        shown: the mistakes with the highest probabilities, in descending order.
    """

    name: str
    split: str
    images: int
    count: int
    shown: list[Example]


def find_mistakes(
    source: ImageSource, evaluation: Evaluation, count: int, *, name: str, split: str
) -> Mistakes:
    """Returns the most confident mistakes of a model.

    Args:
        source: The images.
        evaluation: The model's evaluation on all of them.
        count: Number of mistakes to show, at most.
        name: The experiment's name.
        split: The split's name.
    """
    wrong = np.flatnonzero(evaluation.predicted != evaluation.labels)
    confidence = evaluation.probabilities[wrong, evaluation.predicted[wrong]]
    order = wrong[np.argsort(-confidence, kind="stable")]
    return Mistakes(
        name=name,
        split=split,
        images=len(source),
        count=len(wrong),
        shown=examples_at(order[:count].tolist(), source, evaluation),
    )


def mistakes_figure(mistakes: Mistakes) -> Figure:
    """Returns a figure of the mistakes, each with the end of its path.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    tiles = [example.tile(_tail(example.identity)) for example in mistakes.shown]
    return grid(tiles, f"{mistakes.name}: most confident mistakes", summary(mistakes))


def summary(mistakes: Mistakes) -> str:
    """Returns a line with the numbers of mistakes and images."""
    images = counted(mistakes.images, "image")
    if not mistakes.count:
        return f"{mistakes.split}: no mistake in {images}"
    return f"{mistakes.split}: {counted(mistakes.count, 'mistake')} in {images}"


def mistakes_table(mistakes: Mistakes) -> Table:
    """Returns a table with a row per shown mistake."""
    table = Table(["probability", "predicted", "true", "image"], ["right", "left", "left", "left"])
    for example in mistakes.shown:
        probability = number(example.probability, 4)
        table.add(probability, example.predicted, example.label, example.identity)
    return table


def _tail(identity: str) -> str:
    return identity if len(identity) <= NOTE_LENGTH else f"…{identity[1 - NOTE_LENGTH :]}"

"""A model's most confident mistakes as a figure and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from isotune.explaining.explanation import Explanation
from isotune.interfaces.dataset import ImageSource
from isotune.reports.examples import Example, examples_at
from isotune.reports.explanations import WIDTH, described, side_by_side
from isotune.reports.grid import grid, path_note
from isotune.reports.numbers import count as counted
from isotune.reports.numbers import number
from isotune.reports.tables import Table
from isotune.training.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Mistakes:
    """The mistakes of a model on a split.

    Attributes:
        name: the experiment's name.
        split: the split's name.
        images: number of images of the split.
        count: number of mistakes.
        shown: the mistakes with the highest probabilities, in descending order.
        positions: their positions in the split.
    """

    name: str
    split: str
    images: int
    count: int
    shown: list[Example]
    positions: tuple[int, ...]


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
    order = wrong[np.argsort(-confidence, kind="stable")][:count].tolist()
    return Mistakes(
        name=name,
        split=split,
        images=len(source),
        count=len(wrong),
        shown=examples_at(order, source, evaluation),
        positions=tuple(order),
    )


def mistakes_figure(mistakes: Mistakes, explanations: Sequence[Explanation] = ()) -> Figure:
    """Returns a figure of the mistakes, each with the end of its path.

    Args:
        mistakes: the mistakes.
        explanations: an explanation of each of them, to be drawn beside it, or none.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    heading, detail = f"{mistakes.name}: most confident mistakes", summary(mistakes)
    if not explanations:
        tiles = [example.tile(path_note(example.identity)) for example in mistakes.shown]
        return grid(tiles, heading, detail)
    pairs = zip(mistakes.shown, explanations, strict=True)
    tiles = [
        replace(example, image=side_by_side(explanation)).tile(path_note(example.identity))
        for example, explanation in pairs
    ]
    return grid(tiles, heading, f"{detail}; {described(explanations)}", WIDTH)


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

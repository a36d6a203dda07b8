"""A model's most confident mistakes as a figure and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import assert_never

from isotune.explaining.explanation import Explanation
from isotune.interfaces.dataset import ImageSource
from isotune.printable import printable
from isotune.reports.examples import Example, examples_at, images_of
from isotune.reports.explanations import WIDTH, described, side_by_side
from isotune.reports.grid import grid, path_note
from isotune.reports.numbers import count as counted
from isotune.reports.numbers import number
from isotune.reports.tables import Table
from isotune.training.evaluation import AnyEvaluation, Evaluation, MultiLabelEvaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Mistakes:
    """The mistakes of a model on a split.

    Attributes:
        name: the experiment's name.
        split: the split's name.
        images: number of images of the split.
        count: number of mistakes.
        shown: the mistakes with the highest probabilities, in descending order.
        positions: their positions in the split.
        labels: the classes that they are about: the wrong one that was predicted or, where an image
            may have several labels, the one that was predicted wrongly or missed.
        flip: whether predictions are averaged with those of mirror images.
    """

    name: str
    split: str
    images: int
    count: int
    shown: list[Example]
    positions: tuple[int, ...]
    labels: tuple[int, ...] = ()
    flip: bool = False

    def table(self) -> Table:
        """Returns a table with a row per shown mistake."""
        return mistakes_table(self)

    def __repr__(self) -> str:
        return f"{printable(summary(self))}\n{self.table().plain()}"

    def _repr_html_(self) -> str:
        return self.table().html()


def find_mistakes(
    source: ImageSource,
    evaluation: AnyEvaluation,
    count: int,
    *,
    name: str,
    split: str,
    flip: bool = False,
) -> Mistakes:
    """Returns the most confident mistakes of a model.

    Where an image may have several labels, a mistake is one class of one image: one that was
    predicted wrongly, with its probability, or missed, with one minus its probability.

    Args:
        source: The images.
        evaluation: The model's evaluation on all of them.
        count: Number of mistakes to show, at most.
        name: The experiment's name.
        split: The split's name.
        flip: Whether predictions are averaged with those of mirror images.
    """
    match evaluation:
        case Evaluation():
            positions = np.flatnonzero(evaluation.predicted != evaluation.labels)
            labels = evaluation.predicted[positions]
            confidence = evaluation.probabilities[positions, labels]
        case MultiLabelEvaluation():
            positions, labels = np.nonzero(~evaluation.correct)
            confidence = evaluation.probabilities[positions, labels]
            missed = evaluation.positives[positions, labels]
            confidence = np.where(missed, 1 - confidence, confidence)
        case _:
            assert_never(evaluation)
    order = np.argsort(-confidence, kind="stable")[:count]
    shown = examples_at(positions[order].tolist(), source, evaluation)
    if evaluation.thresholds is not None:
        places = zip(shown, positions[order], labels[order], confidence[order], strict=True)
        shown = [
            replace(
                each,
                predicted=f"{'' if evaluation.predicted[image, label] else 'not '}"
                f"{source.classes[label]}",
                probability=float(share),
            )
            for each, image, label, share in places
        ]
    return Mistakes(
        name=name,
        split=split,
        images=len(source),
        count=len(positions),
        shown=shown,
        positions=tuple(positions[order].tolist()),
        labels=tuple(labels[order].tolist()),
        flip=flip,
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
    images, part = counted(mistakes.images, "image"), images_of(mistakes.split, mistakes.flip)
    if not mistakes.count:
        return f"{part}: no mistake in {images}"
    return f"{part}: {counted(mistakes.count, 'mistake')} in {images}"


def mistakes_table(mistakes: Mistakes) -> Table:
    """Returns a table with a row per shown mistake."""
    table = Table(["probability", "predicted", "true", "image"], ["right", "left", "left", "left"])
    for example in mistakes.shown:
        probability = number(example.probability, 4)
        table.add(probability, example.predicted, example.label, example.identity)
    return table

"""The mistakes a model is most confident of, as a figure and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isotune.data.images import open_labelled
from isotune.experiment.result import Run
from isotune.reports.drawing import check_matplotlib
from isotune.reports.examples import Example, examples_at
from isotune.reports.grid import grid
from isotune.reports.numbers import count as counted
from isotune.reports.numbers import number
from isotune.reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE_LENGTH = 90
"""Characters of a path that a picture's note has room for; the end tells most."""


@dataclass(frozen=True)
class Mistakes:
    """The mistakes of a model on a split.

    Attributes:
        name: the experiment's name.
        split: the split's name.
        pictures: how many pictures it has.
        count: how many of them are mistaken.
        shown: those with the highest probability of the wrong class, the highest first.
    """

    name: str
    split: str
    pictures: int
    count: int
    shown: list[Example]


def show_mistakes(run: Run, count: int = 16, split: str | None = None) -> Figure:
    """Evaluates a split and returns a figure of the mistakes the model is most confident of.

    Args:
        run: whose model is evaluated.
        count: how many mistakes, at most.
        split: the split's name; None takes the validation split.

    Raises:
        IsotuneError: matplotlib is not installed.
        DatasetError: the split's pictures are missing or broken.
    """
    check_matplotlib()
    return mistakes_figure(find_mistakes(run, count, split))


def find_mistakes(run: Run, count: int, split: str | None = None) -> Mistakes:
    """Evaluates a split; arguments and errors as of :func:`show_mistakes`."""
    source = open_labelled(run.spec, run.classes, split)
    found = run.evaluate_source(source)
    wrong = np.flatnonzero(found.predicted != found.labels)
    confidence = found.probabilities[wrong, found.predicted[wrong]]
    order = wrong[np.argsort(-confidence, kind="stable")]
    return Mistakes(
        name=run.spec.name,
        split=split or run.spec.dataset.splits.val,
        pictures=len(source),
        count=len(wrong),
        shown=examples_at(order[:count].tolist(), source, found),
    )


def mistakes_figure(mistakes: Mistakes) -> Figure:
    """Returns a figure of mistakes, each with the end of its path.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    tiles = [example.tile(_tail(example.identity)) for example in mistakes.shown]
    return grid(tiles, f"{mistakes.name}: most confident mistakes", summary(mistakes))


def summary(mistakes: Mistakes) -> str:
    """Returns how many mistakes there are, of how many pictures."""
    pictures = counted(mistakes.pictures, "picture")
    if not mistakes.count:
        return f"{mistakes.split}: no mistake in {pictures}"
    return f"{mistakes.split}: {counted(mistakes.count, 'mistake')} in {pictures}"


def mistakes_table(mistakes: Mistakes) -> Table:
    """Returns the mistakes shown, a line each."""
    table = Table(["probability", "of", "is", "picture"], ["right", "left", "left", "left"])
    for example in mistakes.shown:
        probability = number(example.probability, 4)
        table.add(probability, example.predicted, example.label, example.identity)
    return table


def _tail(identity: str) -> str:
    return identity if len(identity) <= NOTE_LENGTH else f"…{identity[1 - NOTE_LENGTH :]}"

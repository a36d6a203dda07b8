"""Images whose label a model doubts, as a figure, as a table and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import ImageSource
from isotune.printable import csv_cell, printable
from isotune.reports.drawing import WRONG
from isotune.reports.grid import Tile, grid, path_note, small
from isotune.reports.numbers import NONE, number, percent
from isotune.reports.numbers import count as counted
from isotune.reports.tables import Table
from isotune.training.confident_learning import find_suspects

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Suspect:
    """An image whose label a model doubts.

    Attributes:
        identity: The image's name, usually its path.
        position: Its position among all images.
        label: Name of the given class, or of several.
        suggested: Name of the class that the model finds most probable, or of several.
        score: Probability of the given label, in [0, 1]; the lower, the more suspect.
        probability: Probability of the suggested label, in [0, 1].
    """

    identity: str
    position: int
    label: str
    suggested: str
    score: float
    probability: float


@dataclass(frozen=True, repr=False)
class LabelErrors:
    """The images whose labels a model doubts, the most suspect first.

    Attributes:
        name: The experiment's name.
        part: Which images were looked at: the name of a split, or the folds.
        source: All of these images.
        suspects: Those whose labels are doubted.
    """

    name: str
    part: str
    source: ImageSource
    suspects: Sequence[Suspect]

    def table(self, count: int = 20) -> Table:
        """Returns a table of the most suspect images, at most `count`."""
        return label_errors_table(self, count)

    def figure(self, count: int = 24) -> Figure:
        """Returns a figure of the most suspect images, at most `count`, with both classes.

        Raises:
            IsotuneError: matplotlib is not installed.
            DatasetError: An image cannot be read.
        """
        return label_errors_figure(self, count)

    def __repr__(self) -> str:
        return f"{printable(summary(self))}\n{self.table().plain()}"

    def _repr_html_(self) -> str:
        return self.table().html()


def find_label_errors(
    source: ImageSource, probabilities: NDArray[np.floating[Any]], *, name: str, part: str
) -> LabelErrors:
    """Returns the images of `source` whose labels are doubted, by confident learning.

    Args:
        source: The images.
        probabilities: Those of their classes, shape (N, classes).
        name: The experiment's name.
        part: Which images they are.
    """
    found = find_suspects(probabilities, source.labels)
    suspects = [
        Suspect(
            identity=source.identify(index),
            position=index,
            label=", ".join(source.label_names(index)) or NONE,
            suggested=", ".join(_names(source.classes, suggested)) or NONE,
            score=score,
            probability=probability,
        )
        for index, suggested, score, probability in zip(
            found.order.tolist(),
            found.suggested,
            found.scores.tolist(),
            found.probabilities.tolist(),
            strict=True,
        )
    ]
    return LabelErrors(name, part, source, suspects)


def _names(classes: Sequence[str], suggested: Any) -> list[str]:
    """Returns the names of a suggested class, or of the classes of a row of several."""
    chosen = np.flatnonzero(suggested) if np.ndim(suggested) else [suggested]
    return [classes[label] for label in chosen]


def summary(errors: LabelErrors) -> str:
    """Returns a line with the numbers of suspects and images."""
    images = counted(len(errors.source), "image")
    if not errors.suspects:
        return f"{errors.part}: no label of {images} is in doubt"
    share = percent(len(errors.suspects) / len(errors.source))
    return f"{errors.part}: {counted(len(errors.suspects), 'label')} of {images} in doubt ({share})"


def label_errors_figure(errors: LabelErrors, count: int) -> Figure:
    """Returns a figure of the most suspect images, at most `count`, with both classes.

    Raises:
        IsotuneError: matplotlib is not installed.
        DatasetError: An image cannot be read.
    """
    tiles = [
        Tile(
            small(errors.source.load(suspect.position)),
            f"{suspect.suggested} {percent(suspect.probability)} (labeled {suspect.label})",
            WRONG,
            path_note(suspect.identity),
        )
        for suspect in errors.suspects[:count]
    ]
    return grid(tiles, f"{errors.name}: labels in doubt", summary(errors))


def label_errors_table(errors: LabelErrors, count: int) -> Table:
    """Returns a table of the most suspect images, at most `count`."""
    columns = ["score", "label", "suggested", "probability", "image"]
    table = Table(columns, ["right", "left", "left", "right", "left"])
    for suspect in errors.suspects[:count]:
        score, probability = number(suspect.score, 4), number(suspect.probability, 4)
        table.add(score, suspect.label, suspect.suggested, probability, suspect.identity)
    return table


def write_csv(errors: LabelErrors, stream: TextIO) -> None:
    """Writes all suspects, with text that is printable and no formula."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", "label", "suggested", "score", "probability"])
    for suspect in errors.suspects:
        text = (csv_cell(cell) for cell in (suspect.identity, suspect.label, suspect.suggested))
        writer.writerow([*text, suspect.score, suspect.probability])

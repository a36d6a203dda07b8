"""A picture of predictions: right ones titled in blue, wrong ones in red."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isotune.data.pictures import open_labelled
from isotune.data.subset import Subset
from isotune.errors import IsotuneError, RunError
from isotune.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

RIGHT, WRONG = "blue", "red"
INCHES = 1.6
"""Side of a picture in the figure."""


@dataclass(frozen=True)
class Example:
    """A picture, what it is and what the model takes it for.

    Attributes:
        image: uint8, shape (height, width, 3), RGB, of any size.
    """

    image: NDArray[np.uint8]
    label: str
    predicted: str
    probability: float

    @property
    def right(self) -> bool:
        """Whether the prediction is the label."""
        return self.predicted == self.label


def picture_predictions(
    run: Run, path: str | Path, count: int = 16, split: str | None = None
) -> Path:
    """Writes a PNG with predictions for pictures taken evenly from a split.

    Args:
        run: whose model predicts.
        path: the PNG file; it is replaced.
        count: how many pictures, if there are as many.
        split: the split's name; None takes the validation split.

    Returns:
        The file's path.

    Raises:
        IsotuneError: matplotlib is not installed, or the file cannot be written.
        DatasetError: the split's pictures are missing or broken.
    """
    _import_matplotlib()
    figure = prediction_figure(examples(run, count, split))
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        figure.savefig(beside, format="png")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise RunError(f"{path}: cannot be written: {error.strerror}.") from error
    return path


def examples(run: Run, count: int, split: str | None = None) -> list[Example]:
    """Predicts `count` pictures taken evenly from a split, so that every class has its share."""
    source = open_labelled(run.spec, run.classes, split)
    size = min(count, len(source))
    # From the middle of equal stretches: the pictures are sorted by class.
    chosen = [int((position + 0.5) * len(source) / size) for position in range(size)]
    predictions = run.predict_source(Subset(source, chosen), top=1)
    return [
        Example(
            image=np.asarray(source.load(index)),
            label=run.classes[source.labels[index]],
            predicted=prediction[0][0],
            probability=prediction[0][1],
        )
        for index, prediction in zip(chosen, predictions, strict=True)
    ]


def prediction_figure(examples: Sequence[Example]) -> Figure:
    """Returns a figure of pictures titled with their predicted classes.

    A wrong prediction also says what would have been right.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    figure_class, canvas_class = _import_matplotlib()
    columns = math.ceil(math.sqrt(len(examples)))
    rows = math.ceil(len(examples) / columns)
    figure = figure_class(figsize=(columns * INCHES, rows * (INCHES + 0.3)), layout="constrained")
    canvas_class(figure)
    for position, example in enumerate(examples, 1):
        axes = figure.add_subplot(rows, columns, position)
        axes.imshow(example.image, interpolation="nearest")
        title = example.predicted if example.right else f"{example.predicted} (is {example.label})"
        axes.set_title(title, color=RIGHT if example.right else WRONG, fontsize=9)
        axes.set_axis_off()
    return figure


def _import_matplotlib() -> tuple[type[Figure], type[FigureCanvasAgg]]:
    """Returns matplotlib's figure, and its canvas that needs no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise IsotuneError(
            "pictures need matplotlib, which is not installed;"
            ' `pip install "isotune[plot]"` installs it.'
        ) from error
    return Figure, FigureCanvasAgg

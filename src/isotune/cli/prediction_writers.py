"""Writes predictions as aligned lines, CSV or JSON lines, one image at a time."""

from __future__ import annotations

import csv
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from isotune.printable import csv_cell, printable
from isotune.progress.console import show

if TYPE_CHECKING:
    from rich.console import Console

    from isotune.errors import DatasetError
    from isotune.experiment.prediction import Prediction


class PredictionWriter(ABC):
    """Writes predictions and errors one by one."""

    @abstractmethod
    def write(self, path: str, prediction: Prediction) -> None:
        """Writes the most likely classes of an image and their probabilities."""

    @abstractmethod
    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes why an image cannot be read, if the format supports it."""


class Lines(PredictionWriter):
    """One line with columns per image; on a terminal below a heading.

    Args:
        console: the output.
        paths: paths of all images, which determine the width of their column.
        classes: all class names, for the same reason.
        top: number of classes per image.
    """

    def __init__(
        self, console: Console, paths: Sequence[str], classes: Sequence[str], top: int
    ) -> None:
        self._console = console
        self._width = max((len(printable(path)) for path in paths), default=0)
        # Only people need columns of equal width; a pipe gets lines that are easy to split.
        self._class_width = self._probability_width = 0
        if console.is_terminal:
            self._class_width = max(len(printable(name)) for name in classes)
            self._probability_width = len("probability")
            heading = f"{'class':<{self._class_width}} probability"
            show(console, self._line("image", [heading] * top), "bold")

    def write(self, path: str, prediction: Prediction) -> None:
        """Writes a line."""
        cells = [
            f"{printable(name):<{self._class_width}} {probability:>{self._probability_width}.4f}"
            for name, probability in prediction
        ]
        show(self._console, self._line(path, cells))

    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes nothing."""

    def _line(self, path: str, cells: Sequence[str]) -> str:
        return f"{printable(path):<{self._width}}  {'  '.join(cells)}"


class LabelLines(PredictionWriter):
    """One line per image that may have several labels: its path and its predicted classes.

    Args:
        console: the output.
        paths: paths of all images, which determine the width of their column.
        top: number of classes per image, of which those below their threshold are in parentheses;
            None writes the predicted ones alone.
    """

    def __init__(self, console: Console, paths: Sequence[str], top: int | None) -> None:
        self._console = console
        self._width = max((len(printable(path)) for path in paths), default=0)
        self._top = top
        if console.is_terminal:
            show(console, f"{'image':<{self._width}}  labels and probabilities", "bold")

    def write(self, path: str, prediction: Prediction) -> None:
        """Writes a line."""
        cells = []
        for name, probability in prediction:
            cell = f"{printable(name)} {probability:.4f}"
            if name in prediction.labels:
                cells.append(cell)
            elif self._top is not None:
                cells.append(f"({cell})")
        show(self._console, f"{printable(path):<{self._width}}  {'  '.join(cells) or '-'}")

    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes nothing."""


class CSV(PredictionWriter):
    """Comma-separated values: path, class_1, probability_1, class_2 and so on.

    Where an image may have several labels, the column ``labels`` follows the path, with the
    predicted classes between vertical bars.

    Text is printable, and none is a formula (see :func:`isotune.printable.csv_cell`).

    An image that cannot be read has no row.
    """

    def __init__(self, stream: TextIO, top: int, multi_label: bool = False) -> None:
        self._multi_label = multi_label
        self._writer = csv.writer(stream, lineterminator="\n")
        ranks = range(1, top + 1)
        pairs = [name for rank in ranks for name in (f"class_{rank}", f"probability_{rank}")]
        self._writer.writerow(["path", *(["labels"] if multi_label else []), *pairs])

    def write(self, path: str, prediction: Prediction) -> None:
        """Writes a row."""
        cells = [(csv_cell(name), probability) for name, probability in prediction]
        labels = [csv_cell("|".join(prediction.labels))] if self._multi_label else []
        self._writer.writerow([csv_cell(path), *labels, *(cell for pair in cells for cell in pair)])

    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes nothing."""


class JSONLines(PredictionWriter):
    """One JSON object per line: path and predictions, or path and error.

    Where an image may have several labels, ``labels`` are the predicted classes.
    """

    def __init__(self, stream: TextIO, multi_label: bool = False) -> None:
        self._stream = stream
        self._multi_label = multi_label

    def write(self, path: str, prediction: Prediction) -> None:
        """Writes an object with the image's predictions."""
        pairs = [
            {"class": name, "probability": value if math.isfinite(value) else None}
            for name, value in prediction
        ]
        labels = {"labels": prediction.labels} if self._multi_label else {}
        self._object({"path": path, **labels, "predictions": pairs})

    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes an object with the error."""
        self._object({"path": path, "error": str(error)})

    def _object(self, value: dict[str, object]) -> None:
        self._stream.write(json.dumps(value, allow_nan=False) + "\n")

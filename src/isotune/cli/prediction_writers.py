"""Writes predictions as aligned lines, CSV or JSON lines, one image at a time."""

from __future__ import annotations

import csv
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from isotune.cli.console import show
from isotune.printable import csv_cell, printable

if TYPE_CHECKING:
    from rich.console import Console

    from isotune.errors import DatasetError
    from isotune.experiment.classifier import Prediction


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


class CSV(PredictionWriter):
    """Comma-separated values: path, class_1, probability_1, class_2 and so on.

    Text is printable, and none is a formula (see :func:`isotune.printable.csv_cell`).

    An image that cannot be read has no row.
    """

    def __init__(self, stream: TextIO, top: int) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        ranks = range(1, top + 1)
        pairs = [name for rank in ranks for name in (f"class_{rank}", f"probability_{rank}")]
        self._writer.writerow(["path", *pairs])

    def write(self, path: str, prediction: Prediction) -> None:
        """Writes a row."""
        cells = [(csv_cell(name), probability) for name, probability in prediction]
        self._writer.writerow([csv_cell(path), *(cell for pair in cells for cell in pair)])

    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes nothing."""


class JSONLines(PredictionWriter):
    """One JSON object per line: path and predictions, or path and error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, path: str, prediction: Prediction) -> None:
        """Writes an object with the image's predictions."""
        pairs = [
            {"class": name, "probability": value if math.isfinite(value) else None}
            for name, value in prediction
        ]
        self._object({"path": path, "predictions": pairs})

    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes an object with the error."""
        self._object({"path": path, "error": str(error)})

    def _object(self, value: dict[str, object]) -> None:
        self._stream.write(json.dumps(value, allow_nan=False) + "\n")

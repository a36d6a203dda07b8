"""Predictions as aligned lines, as CSV and as JSON lines: one image at a time."""

from __future__ import annotations

import csv
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from isotune.cli.console import show

if TYPE_CHECKING:
    from rich.console import Console

    from isotune.errors import DatasetError
    from isotune.experiment.result import Prediction


class PredictionWriter(ABC):
    """Writes what becomes of images, as it becomes known."""

    @abstractmethod
    def write(self, path: str, prediction: Prediction) -> None:
        """Writes an image's likeliest classes and their probabilities."""

    @abstractmethod
    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes that an image cannot be read, where the format has a place for that."""


class Lines(PredictionWriter):
    """A line an image, with columns; on a terminal under a heading.

    Args:
        console: where to.
        paths: those of all images, for the column's width.
        classes: all names, likewise.
        top: how many classes an image.
    """

    def __init__(
        self, console: Console, paths: Sequence[str], classes: Sequence[str], top: int
    ) -> None:
        self._console = console
        self._width = max(map(len, paths), default=0)
        # Columns are for people; a pipe gets what is shortest to take apart.
        self._class_width = max(map(len, classes)) if console.is_terminal else 0
        self._share_width = len("probability") if console.is_terminal else 0
        if console.is_terminal:
            heading = f"{'class':<{self._class_width}} probability"
            show(console, self._line("image", [heading] * top), "bold")

    def write(self, path: str, prediction: Prediction) -> None:
        """Writes a line."""
        cells = [
            f"{name:<{self._class_width}} {share:>{self._share_width}.4f}"
            for name, share in prediction
        ]
        show(self._console, self._line(path, cells))

    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes nothing."""

    def _line(self, path: str, cells: Sequence[str]) -> str:
        return f"{path:<{self._width}}  {'  '.join(cells)}"


class CSV(PredictionWriter):
    """Comma-separated values: path, class_1, probability_1, class_2 and so on.

    An image that cannot be read has no row.
    """

    def __init__(self, stream: TextIO, top: int) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        ranks = range(1, top + 1)
        pairs = [name for rank in ranks for name in (f"class_{rank}", f"probability_{rank}")]
        self._writer.writerow(["path", *pairs])

    def write(self, path: str, prediction: Prediction) -> None:
        """Writes a row."""
        self._writer.writerow([path, *(cell for pair in prediction for cell in pair)])

    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes nothing."""


class JSONLines(PredictionWriter):
    """A JSON object a line: path and predictions, or path and error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, path: str, prediction: Prediction) -> None:
        """Writes an object with the image's predictions."""
        pairs = [
            {"class": name, "probability": share if math.isfinite(share) else None}
            for name, share in prediction
        ]
        self._object({"path": path, "predictions": pairs})

    def write_error(self, path: str, error: DatasetError) -> None:
        """Writes an object with what is wrong with the image."""
        self._object({"path": path, "error": str(error)})

    def _object(self, value: dict[str, object]) -> None:
        self._stream.write(json.dumps(value, allow_nan=False) + "\n")

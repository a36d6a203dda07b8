"""Observer ``csv``: the metrics of every epoch in a file for spreadsheets."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Literal

from isotune.interfaces.events import EpochEnded, RunStarted
from isotune.spec.observer import ObserverSpec
from isotune.storage.atomic import write_atomically

FILE = "metrics.csv"


class CsvSpec(ObserverSpec):
    """Writes ``metrics.csv`` into the run folder: a row for each epoch."""

    name: Literal["csv"] = "csv"

    def open(self, folder: Path) -> CsvFile:
        """Returns what writes the file."""
        return CsvFile(folder / FILE)


class CsvFile:
    """Writes the metrics of all epochs anew after each one, so that the file is always whole.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, float | None]] = []

    def isotune_run_started(self, event: RunStarted) -> None:
        """Writes the epochs that the run has ended before."""
        self._rows = [metrics.numbers() for metrics in event.history]
        self._write()

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Adds an epoch."""
        self._rows.append(event.metrics.numbers())
        self._write()

    def _write(self) -> None:
        columns = dict.fromkeys(name for row in self._rows for name in row)
        text = StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomically(self._path, text.getvalue())

"""What tables of all file formats have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Union

from isotune.errors import DatasetError

SHOWN = 20
"""Number of faults that an error lists; it counts the others."""

Value = Union[str, list[str]]
"""A cell: text, ``""`` if it is empty, or a list of texts."""

Row = tuple[int, tuple[Value, ...]]
"""The number of a row's first line, from 1, and its cells."""


class Faults:
    """Collects what is wrong with a table, by line.

    Args:
        table: The table.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._first: list[tuple[int, str]] = []
        self._count = 0

    def add(self, line: int, fault: str) -> None:
        """Adds a fault of the row that begins in line `line`."""
        self._count += 1
        insort(self._first, (line, fault))
        del self._first[SHOWN:]

    def check(self) -> None:
        """Raises an error if anything is wrong.

        Raises:
            DatasetError: It lists the first faults and counts the others.
        """
        if not self._count:
            return
        rows = "1 row is" if self._count == 1 else f"{self._count} rows are"
        lines = [f"  {self._table.unit} {line}: {fault}" for line, fault in self._first]
        if self._count > SHOWN:
            lines.append(f"  and {self._count - SHOWN} more")
        raise DatasetError(f"{self._table.path}: {rows} wrong:", *lines)


class Table(ABC):
    """A file with a row for each image.

    Args:
        path: The file.

    Attributes:
        unit: What its rows are counted in.
    """

    unit: ClassVar[str] = "line"

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def columns(self) -> list[str]:
        """Returns the names of the columns.

        Raises:
            DatasetError: The file cannot be read, or is no such table.
        """

    @abstractmethod
    def rows(self, columns: Sequence[str], faults: Faults) -> Iterator[Row]:
        """Yields the rows, in order, without those at fault.

        Args:
            columns: Names of the columns to read, two at least.
            faults: Collects what is wrong with single rows.

        Raises:
            DatasetError: The file cannot be read any further.
        """

    def refuse(self, line: int, fault: str) -> DatasetError:
        """Returns the error that nothing after a line can be read."""
        return DatasetError(f"{self.path}, {self.unit} {line}: {fault}.")


def as_cell(value: Any) -> Value:
    """Returns a value of JSON or Parquet as a cell.

    Raises:
        TypeError: It is a mapping, or nested.
    """
    if isinstance(value, (list, tuple)):
        return [_as_text(each) for each in value]
    return _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:  # pandas writes NaN for an empty cell
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list, tuple)):
        raise TypeError("is nested")
    return str(value)

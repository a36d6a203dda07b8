"""Finds a dataset's tables, and the columns of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isotune.data.folders import files_ending
from isotune.data.tables.parquet import ParquetTable
from isotune.data.tables.table import Table
from isotune.data.tables.text import CsvTable, JsonLinesTable, TsvTable
from isotune.errors import DatasetError, listed, nearest
from isotune.interfaces.dataset import NoSplitError
from isotune.spec.columns import ColumnsSpec
from isotune.storage.paths import is_dir

KINDS: dict[str, type[Table]] = {
    ".csv": CsvTable,
    ".tsv": TsvTable,
    ".jsonl": JsonLinesTable,
    ".ndjson": JsonLinesTable,
    ".parquet": ParquetTable,
}
"""Tables, by the ending of their names."""

IMAGE_NAMES = frozenset(
    {"image", "images", "img", "path", "file", "filename", "file_name", "filepath", "file_path"}
    | {"image_path", "image_file", "image_name", "img_path"}
)
LABEL_NAMES = frozenset(
    {"label", "labels", "class", "classes", "class_name", "category", "target", "targets", "tags"}
)
SPLIT_NAMES = frozenset({"split", "subset"})
GROUP_NAMES = frozenset({"group"})
"""Usual names of the columns, in lower case."""

MAX_COLUMNS = 16_384
"""Number of columns of a table, as in Excel."""

SHOWN = 20
"""Number of columns and tables that a message names."""


@dataclass(frozen=True)
class FoundTable:
    """A table of a split, or of a whole dataset.

    Attributes:
        table: The table.
        whole: Whether it has all images of the dataset, so that a column tells the splits.
    """

    table: Table
    whole: bool


def find_table(place: Path, split: str | None) -> FoundTable:
    """Returns the table of a split.

    It is `place`, or in the folder `place`: a file with the split's name and the ending of a
    table, else the only table in a folder with the split's name, else the only table.

    Args:
        place: A table, or a folder.
        split: The split's name; None finds a table of the whole dataset.

    Raises:
        NoSplitError: There are several tables, none of which is the split's.
        DatasetError: There is no such table, or there are several.
    """
    if not is_dir(place):
        kind = KINDS.get(place.suffix.lower())
        if kind is None:
            raise DatasetError(f"{place}: names of tables end in {_endings()}.")
        return FoundTable(kind(place), True)
    tables = files_ending(place, tuple(KINDS))
    if split is not None:
        named = [path for path in tables if split in (path.name, path.stem)]
        if not named and is_dir(place / split):
            named = files_ending(place / split, tuple(KINDS))
        if named:
            path = _only(place, named, f"the table of the split '{split}'")
            return FoundTable(KINDS[path.suffix.lower()](path), False)
    if not tables:
        raise DatasetError(f"{place}: has no table; names of tables end in {_endings()}.")
    what = "the table" if split is None else f"the table of the split '{split}'"
    path = _only(place, tables, what, DatasetError if split is None else NoSplitError)
    return FoundTable(KINDS[path.suffix.lower()](path), True)


def _endings() -> str:
    return ", ".join(KINDS)


def _only(
    folder: Path, tables: Sequence[Path], what: str, kind: type[DatasetError] = DatasetError
) -> Path:
    if len(tables) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in tables[:SHOWN])
        raise kind(
            f"{folder}: {what} could be any of {names}; set dataset.path to one of them, or the"
            " names in dataset.splits to those of tables."
        )
    return tables[0]


@dataclass(frozen=True)
class FoundColumns:
    """Which columns of a table hold what.

    Attributes:
        image: Name of the column of images.
        labels: Names of the column of labels, or of those of the classes.
        split: Name of the column of splits, or None.
        group: Name of the column of groups, or None.
        present: Names of all columns.
    """

    image: str
    labels: tuple[str, ...]
    split: str | None
    group: str | None
    present: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, image first, then labels, split and group."""
        return self.image, *self.labels, *filter(None, (self.split, self.group))


def find_columns(
    path: Path, names: Sequence[str], spec: ColumnsSpec, split_column: str | None, whole: bool
) -> FoundColumns:
    """Returns the columns of a table, those that the spec names and those found by their names.

    Args:
        path: The table, for messages.
        names: Names of all its columns.
        spec: Names of columns.
        split_column: Name of the column of splits; None finds it.
        whole: Whether a column of splits is looked for.

    Raises:
        DatasetError: The table lacks a column, or which one is meant is not clear. The message
            lists the columns.
    """
    search = _Search(path, names)
    given = {
        "image_column": spec.image_column,
        "label_column": spec.label_column,
        "split_column": split_column,
        "group_column": spec.group_column,
    }
    for field, name in given.items():
        search.take(field, name)
    for name in spec.label_columns or ():
        search.take("label_columns", name)
    group = spec.group_column or search.usual("group_column", GROUP_NAMES)
    split = split_column or (search.usual("split_column", SPLIT_NAMES) if whole else None)
    labels = spec.label_columns
    label = spec.label_column or (None if labels else search.usual("label_column", LABEL_NAMES))
    image = spec.image_column or search.usual("image_column", IMAGE_NAMES)
    image = image or search.last("image_column")
    if labels is None:
        labels = (label or search.last("label_column"),)
    return FoundColumns(image, labels, split, group, tuple(search.present))


class _Search:
    """Finds columns, each for one purpose."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path = path
        self.present = [name for name in names if name]  # pandas' index has no name
        self._free = list(self.present)
        if len(self.present) > MAX_COLUMNS:
            raise DatasetError(
                f"{self._path}: has {len(self.present)} columns; at most {MAX_COLUMNS} are allowed."
            )
        twice = next((name for name, count in Counter(self.present).items() if count > 1), None)
        if twice is not None:
            raise DatasetError(f"{self._path}: has two columns '{twice}'; rename one of them.")

    def take(self, field: str, name: str | None) -> None:
        """Takes the column that a field of the spec names, if it names one."""
        if name is None:
            return
        if name not in self.present:
            raise DatasetError(
                f"{self._path}: has no column '{name}', which dataset.{field} names."
                f"{nearest(name, self.present)} Its columns are {listed(self.present, SHOWN)}."
            )
        if name not in self._free:
            raise DatasetError(f"dataset.{field}: column '{name}' is named for something else too.")
        self._free.remove(name)

    def usual(self, field: str, names: frozenset[str]) -> str | None:
        """Takes the only column that has a usual name, or none if there is no such column."""
        found = [name for name in self._free if name.lower() in names]
        if len(found) > 1:
            raise DatasetError(
                f"{self._path}: {' and '.join(map(repr, found))} could be its column; set"
                f" dataset.{field} to one of them."
            )
        for name in found:
            self._free.remove(name)
        return found[0] if found else None

    def last(self, field: str) -> str:
        """Takes the only column that is left."""
        if len(self._free) != 1:
            raise DatasetError(
                f"{self._path}: which of its columns is meant is not clear; set dataset.{field}."
                f" Its columns are {listed(self.present, SHOWN)}."
            )
        return self._free.pop()

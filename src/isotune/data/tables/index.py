"""Reads the images of a split from a table."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.data.folders import one_form
from isotune.data.tables.find import FoundColumns
from isotune.data.tables.labels import GroupNames, LabelFault, RowLabels, row_labels
from isotune.data.tables.places import ImagePaths, PathFault
from isotune.data.tables.table import Faults, Table, Value
from isotune.errors import DatasetError, listed, nearest
from isotune.interfaces.dataset import NoSplitError
from isotune.spec.columns import ColumnsSpec

log = logging.getLogger(__name__)

_COMPARED = 100
"""Number of splits in which a misspelled one is looked for; a column of splits has few."""


@dataclass(frozen=True)
class TableImages:
    """The images of a split, in the order of the table's rows.

    Attributes:
        names: Their paths, relative to a folder.
        classes: Class names, in label order.
        labels: As those of an image source.
        groups: Numbers of their groups: int32, shape (N,); None if the table has none.
        group_names: Names of the groups, by their numbers; None if the table has none.
    """

    names: list[str]
    classes: tuple[str, ...]
    labels: NDArray[np.int32] | NDArray[np.float32]
    groups: NDArray[np.int32] | None
    group_names: tuple[str, ...] | None


def read_images(
    table: Table,
    columns: FoundColumns,
    spec: ColumnsSpec,
    paths: ImagePaths,
    split: str | None,
    classes: tuple[str, ...] | None = None,
    may_be_missing: bool = False,
) -> TableImages:
    """Reads the images of a split.

    Args:
        table: The table.
        columns: Its columns.
        spec: How labels are written.
        paths: Where images are.
        split: The split's name in the column of splits; ignored without one.
        classes: The classes in label order; None takes those that occur, sorted.
        may_be_missing: Whether images may be missing, which is then found when they are read.

    Raises:
        DatasetError: The table cannot be read, there is no such split, or rows are wrong. The
            message lists these by line.
    """
    rows = _Rows(table, columns, row_labels(columns.labels, spec, classes))
    rows.read(paths, split)
    if not may_be_missing:
        for row, fault in paths.missing(rows.names):
            rows.faults.add(rows.lines[row], fault)
    repeated = rows.repeated()
    rows.faults.check()
    names = rows.names
    found = tuple(sorted(rows.labels.classes.names)) if classes is None else classes
    if not names or not found:
        has_none = "has no image" if not names else "has no image with a label"
        raise DatasetError(f"{table.path}: {has_none}.")
    if classes is None and (doubt := rows.labels.doubt()):
        log.warning("%s: %s", table.path, doubt)
    labels = rows.labels.array(found)
    groups = None if columns.group is None else np.array(rows.groups, np.int32)
    if repeated:
        rows.report(repeated)
        kept = np.delete(np.arange(len(names)), repeated)
        names = [names[row] for row in kept.tolist()]
        labels, groups = labels[kept], None if groups is None else groups[kept]
    return TableImages(names, found, labels, groups, rows.group_names)


class _Rows:
    """The rows of a split."""

    def __init__(self, table: Table, columns: FoundColumns, labels: RowLabels) -> None:
        self._table, self._columns = table, columns
        self.faults = Faults(table)
        self.labels = labels
        self.names: list[str] = []
        self.lines = array("q")
        self.groups = array("i")
        self._group_names = GroupNames()
        self._splits: dict[Value, bool] = {}

    def read(self, paths: ImagePaths, split: str | None) -> None:
        """Reads the rows of a split."""
        columns, wanted = self._columns, one_form(split or "")
        end = 1 + len(columns.labels)
        for line, cells in self._table.rows(columns.names, self.faults):
            try:
                if columns.split is not None and not self._is_in(wanted, cells[end]):
                    continue
                name = paths.name(cells[0])
                group = None if columns.group is None else self._group(cells[-1])
                self.labels.add(cells[1:end])
            except (PathFault, LabelFault, _CellFault) as fault:
                self.faults.add(line, str(fault))
                continue
            self.names.append(name)
            self.lines.append(line)
            if group is not None:
                self.groups.append(group)
        if columns.split is not None and True not in self._splits.values():
            self.faults.check()
            raise self._no_split(split or "")

    def _is_in(self, wanted: str, cell: Value) -> bool:
        text = _one_text(cell, "split")
        found = self._splits.get(text)
        if found is None:
            found = self._splits[text] = one_form(text) == wanted
        return found

    def _group(self, cell: Value) -> int:
        return self._group_names.code(_one_text(cell, "group"))

    def _no_split(self, split: str) -> NoSplitError:
        names = sorted(map(str, self._splits))
        return NoSplitError(
            f"{self._table.path}: has no split '{split}' in its column '{self._columns.split}'."
            f"{nearest(split, names[:_COMPARED])} It has {listed(names)}; dataset.splits names"
            " those to train and to validate on."
        )

    @property
    def group_names(self) -> tuple[str, ...] | None:
        """Names of the groups, by their numbers."""
        return None if self._columns.group is None else self._group_names.names

    def repeated(self) -> list[int]:
        """Returns the rows that repeat another. The same path with other labels is a fault."""
        first: dict[str, int] = {}
        repeated = []
        for row in self._suspects():
            name = self.names[row]
            before = first.setdefault(name, row)
            if before == row:
                continue
            earlier = f"{self._table.unit} {self.lines[before]}"
            labels, others = self._labels(row), self._labels(before)
            if labels != others:
                fault = f"labels '{name}' {labels}, but {earlier} labels it {others}"
                self.faults.add(self.lines[row], fault)
            elif self._columns.group is not None and self.groups[row] != self.groups[before]:
                fault = f"puts '{name}' in another group than {earlier}"
                self.faults.add(self.lines[row], fault)
            else:
                repeated.append(row)
        return repeated

    def report(self, repeated: Sequence[int]) -> None:
        """Logs in one line that rows which repeat others are left out."""
        several = f"{len(repeated)} rows that repeat others, the first"
        count = "1 row that repeats another," if len(repeated) == 1 else several
        place = f"{self._table.unit} {self.lines[repeated[0]]}"
        log.warning("%s: left out %s in %s", self._table.path, count, place)

    def _suspects(self) -> list[int]:
        """Returns the rows whose paths have the hash of another's, in order.

        A dict of all paths would take as much memory as the paths themselves.
        """
        hashes = np.fromiter(map(hash, self.names), np.int64, len(self.names))
        order = np.argsort(hashes)
        same = np.diff(hashes[order]) == 0
        rows = order[np.append(same, False) | np.append(False, same)] if len(order) else order
        result: list[int] = np.sort(rows).tolist()
        return result

    def _labels(self, row: int) -> str:
        names = [f"'{self.labels.classes.names[code]}'" for code in self.labels.codes(row)]
        return " and ".join(names) or "as nothing"


class _CellFault(Exception):
    """What is wrong with another cell."""


def _one_text(cell: Value, what: str) -> str:
    text = cell.strip() if isinstance(cell, str) else ""
    if not text:
        raise _CellFault(f"its {what} is {'empty' if isinstance(cell, str) else 'a list'}")
    return text

"""Collects the labels of a table's rows, in one of the ways in which tables write them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from isotune.data.folders import one_form
from isotune.data.tables.table import SHOWN, Value
from isotune.errors import DatasetError, nearest
from isotune.spec.columns import ColumnsSpec

LONGEST = 255
"""Number of characters of a class name, as that of a folder."""

_BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "False": 0, "True": 1}


class LabelFault(Exception):
    """What is wrong with the labels of a row."""


class ClassNames:
    """Numbers class names in the order in which they occur first.

    A name has no white space around it, and the same name in another Unicode form is the same
    class, under the form that occurs first.

    Args:
        known: The classes that there may be; None allows any.
    """

    def __init__(self, known: Sequence[str] | None) -> None:
        self.names: list[str] = []
        self._known = None if known is None else {one_form(name): name for name in known}
        self._codes: dict[str, int] = {}
        self._guesses = SHOWN

    def code(self, text: str) -> int:
        """Returns the number of a class.

        Raises:
            LabelFault: The text is no class name.
        """
        found = self._codes.get(text)
        return self._add(text) if found is None else found

    def positions(self, classes: Sequence[str]) -> NDArray[np.int32]:
        """Returns where each class is in `classes`, by number."""
        places = {one_form(name): place for place, name in enumerate(classes)}
        return np.array([places[one_form(name)] for name in self.names], np.int32)

    def _add(self, text: str) -> int:
        name = one_form(text.strip())
        if not name:
            raise LabelFault("its label is empty")
        if len(name) > LONGEST:
            raise LabelFault(f"its label has {len(name)} characters; at most {LONGEST} are allowed")
        if any(category(character) == "Cc" for character in name):
            raise LabelFault(f"its label '{name}' has a line end or another control character")
        if self._known is not None and name not in self._known:
            # Comparing with all classes is slow, and the labels of many rows may be wrong.
            guess = nearest(name, self._known) if self._guesses > 0 else ""
            self._guesses -= 1
            raise LabelFault(f"its label '{name}' is none of the training images.{guess}")
        if name not in self._codes:
            self._codes[name] = len(self.names)
            self.names.append(text.strip())
        self._codes[text] = self._codes[name]
        return self._codes[name]


class GroupNames:
    """Numbers groups in the order in which they occur first, in one Unicode form."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def code(self, text: str) -> int:
        """Returns the number of a group."""
        return self._codes.setdefault(one_form(text), len(self._codes))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups, by their numbers."""
        return tuple(self._codes)


class RowLabels(ABC):
    """The labels of rows, in order.

    Attributes:
        classes: The classes that occur.
    """

    classes: ClassNames

    @abstractmethod
    def add(self, cells: Sequence[Value]) -> None:
        """Adds the labels of a row.

        Raises:
            LabelFault: They are wrong; nothing is added.
        """

    @abstractmethod
    def codes(self, row: int) -> Sequence[int]:
        """Returns the numbers of a row's classes, sorted."""

    @abstractmethod
    def array(self, classes: Sequence[str]) -> NDArray[np.int32] | NDArray[np.float32]:
        """Returns the labels of all rows, as those of an image source."""

    def doubt(self) -> str:
        """Returns what may be wrong with the labels of all rows, or an empty string."""
        return ""


class SingleLabels(RowLabels):
    """One label a row, in one column, or as the only 1 in the columns of the classes."""

    def __init__(self, known: Sequence[str] | None) -> None:
        self.classes = ClassNames(known)
        self._codes = array("i")

    def add(self, cells: Sequence[Value]) -> None:
        """Adds the label of a row."""
        (cell,) = cells
        if not isinstance(cell, str):
            raise LabelFault("has a list of labels; dataset.targets: multi_label allows that")
        self._codes.append(self.classes.code(cell))

    def codes(self, row: int) -> Sequence[int]:
        """Returns the number of a row's class."""
        return (self._codes[row],)

    def array(self, classes: Sequence[str]) -> NDArray[np.int32]:
        """Returns int32, shape (rows,)."""
        return self.classes.positions(classes)[np.frombuffer(self._codes, np.intc)]


class SeveralLabels(RowLabels):
    """Any number of labels a row, in one column: a list, or text with separators."""

    def __init__(self, known: Sequence[str] | None, separator: str) -> None:
        self.classes = ClassNames(known)
        self._separator = separator
        self._codes, self._ends = array("i"), array("q", [0])

    def add(self, cells: Sequence[Value]) -> None:
        """Adds the labels of a row; an empty cell has none."""
        (cell,) = cells
        texts = cell.split(self._separator) if isinstance(cell, str) else cell
        self._codes.extend(sorted({self.classes.code(text) for text in texts if text.strip()}))
        self._ends.append(len(self._codes))

    def codes(self, row: int) -> Sequence[int]:
        """Returns the numbers of a row's classes, sorted."""
        return self._codes[self._ends[row] : self._ends[row + 1]]

    def array(self, classes: Sequence[str]) -> NDArray[np.float32]:
        """Returns float32, shape (rows, classes)."""
        counts = self._counts()
        labels = np.zeros((len(counts), len(classes)), np.float32)
        columns = self.classes.positions(classes)[np.frombuffer(self._codes, np.intc)]
        labels[np.repeat(np.arange(len(counts)), counts), columns] = 1
        return labels

    def doubt(self) -> str:
        """Returns that the separator may be wrong, if no row has two labels."""
        if (self._counts() > 1).any():
            return ""
        return f"no row has two labels with '{self._separator}' between, the dataset.separator"

    def _counts(self) -> NDArray[np.int64]:
        return np.diff(np.frombuffer(self._ends, np.int64))


class IndicatorLabels(RowLabels):
    """A column for each class, with 1 for its images and 0 for others.

    Args:
        columns: Names of the columns, which are the classes.
        known: The classes that there may be; None allows any.
        single: Whether each row has exactly one 1.
    """

    def __init__(self, columns: Sequence[str], known: Sequence[str] | None, single: bool) -> None:
        self.classes = ClassNames(known)
        self._columns = columns
        try:
            codes = {self.classes.code(name) for name in columns}
        except LabelFault as fault:
            raise DatasetError(f"dataset.label_columns: {fault}") from fault
        if len(codes) != len(columns):
            raise DatasetError("dataset.label_columns: names a class twice.")
        self._single = single
        self._bits = bytearray()

    def add(self, cells: Sequence[Value]) -> None:
        """Adds the labels of a row."""
        bits = [_BITS.get(cell.strip()) if isinstance(cell, str) else None for cell in cells]
        if None in bits:
            place = bits.index(None)
            raise LabelFault(f"has {cells[place]!r} in '{self._columns[place]}', not 0 or 1")
        if self._single and bits.count(1) != 1:
            raise LabelFault(
                f"has {bits.count(1)} labels, not one; dataset.targets: multi_label allows that"
            )
        self._bits += bytes(bit or 0 for bit in bits)

    def codes(self, row: int) -> Sequence[int]:
        """Returns the numbers of a row's classes, sorted."""
        codes: list[int] = np.flatnonzero(self._table()[row]).tolist()
        return codes

    def array(self, classes: Sequence[str]) -> NDArray[np.int32] | NDArray[np.float32]:
        """Returns int32, shape (rows,), or float32, shape (rows, classes)."""
        positions = self.classes.positions(classes)
        if self._single:
            found: NDArray[np.int32] = positions[self._table().argmax(axis=1)]
            return found
        labels = np.zeros((len(self._table()), len(classes)), np.float32)
        labels[:, positions] = self._table()
        return labels

    def _table(self) -> NDArray[np.uint8]:
        return np.frombuffer(self._bits, np.uint8).reshape(-1, len(self._columns))


def row_labels(columns: Sequence[str], spec: ColumnsSpec, known: Sequence[str] | None) -> RowLabels:
    """Returns what collects the labels of rows.

    Args:
        columns: Names of the column of labels, or of those of the classes.
        spec: How labels are written.
        known: The classes that there may be; None allows any.

    Raises:
        DatasetError: The columns of the classes are others than the classes.
    """
    multi = spec.targets == "multi_label"
    if spec.label_columns is not None:
        return IndicatorLabels(columns, known, not multi)
    return SeveralLabels(known, spec.separator) if multi else SingleLabels(known)

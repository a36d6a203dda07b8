"""Labels that are names of classes, or positions in a list of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from isotune.data.tables.labels import LabelFault, RowLabels
from isotune.data.tables.table import Value, as_cell
from isotune.errors import DatasetError, first_lines, listed, nearest
from isotune.interfaces.dataset import Labels, class_counts

log = logging.getLogger(__name__)


def read_labels(
    rows: Iterable[Sequence[Any]],
    labels: RowLabels,
    declared: Declared | None,
    known: Sequence[str] | None,
    where: object,
    identify: Callable[[int], str],
) -> tuple[tuple[str, ...], Labels]:
    """Returns the classes, in label order, and the labels of images.

    Args:
        rows: The label of each image, or one for each class, as JSON or Parquet has it: text, a
            number, or a list.
        labels: Collects them.
        declared: The dataset's list of classes, if it has one.
        known: The classes that there may be, in label order; None takes those that occur, sorted
            as Python strings.
        where: What the rows are of, for messages.
        identify: Returns where a row is, for messages.

    Raises:
        DatasetError: Labels are empty, no position in the list, or of other classes. The message
            lists the first ones.
    """
    faults: list[str] = []
    count = 0
    for index, row in enumerate(rows):
        try:
            cells = [as_cell(value) for value in row]
            labels.add(cells if declared is None else [declared.cell(cell) for cell in cells])
        except LabelFault as fault:
            faults.append(f"  {identify(index)}: {fault}")
        except (TypeError, UnicodeDecodeError):
            faults.append(f"  {identify(index)}: should be text, a number, or a list of these")
        count += 1
    if faults:
        wrong = "1 label is" if len(faults) == 1 else f"{len(faults)} labels are"
        raise DatasetError(f"{where}: {wrong} wrong:", *first_lines(faults))
    found = tuple(sorted(labels.classes.names) if known is None else known)
    if not count or not found:
        has_none = "has no image" if not count else "has no image with a label"
        raise DatasetError(f"{where}: {has_none}.")
    array = labels.array(found)
    if missing := without_images(found, array):
        log.warning("%s: no image of %s", where, missing)
    return found, array


class Declared:
    """The list of classes that a dataset has: a number is a position in it.

    Args:
        names: Their names.
        separator: What stands between the labels of an image that may have several; None if each
            image has one.

    Attributes:
        names: Their names.
    """

    def __init__(self, names: Sequence[str], separator: str | None) -> None:
        self.names, self._separator = names, separator
        self._known: dict[str, str] = {}

    def cell(self, cell: Value) -> Value:
        """Returns the names that a cell means.

        Raises:
            LabelFault: A number is no position in the list, or a name not in it.
        """
        if isinstance(cell, str) and self._separator is None:
            return self._name(cell)
        texts = cell.split(self._separator) if isinstance(cell, str) else cell
        return [self._name(text) for text in texts if text.strip()]

    def _name(self, text: str) -> str:
        name = self._known.get(text)
        if name is None:
            name = self._known[text] = self._find(text.strip())
        return name

    def _find(self, text: str) -> str:
        if text.removeprefix("-").isdecimal():
            number = int(text)
            if not 0 <= number < len(self.names):
                last = len(self.names) - 1
                raise LabelFault(f"its label {number} is no position in the classes, 0 to {last}")
            return self.names[number]
        if text and text not in self.names:
            raise LabelFault(f"its label '{text}' is no class.{nearest(text, self.names)}")
        return text


def check_declared(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Returns the names of a list of classes after checking them.

    Raises:
        DatasetError: There are none, one is empty, or is there twice.
    """
    stripped = tuple(name.strip() for name in names)
    if not stripped or not all(stripped):
        raise DatasetError(f"{where}: should list names of classes, none of them empty.")
    if twice := sorted({name for name in stripped if stripped.count(name) > 1}):
        raise DatasetError(f"{where}: lists {listed(twice)} more than once.")
    return stripped


def without_images(classes: Sequence[str], labels: Labels) -> str:
    """Returns the classes without an image for a message, or an empty string."""
    missing = np.flatnonzero(class_counts(labels, len(classes)) == 0).tolist()
    return listed([classes[label] for label in missing])

"""How many images of each class there are in each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isotune.reports.tables import Table

MOST_CLASSES = 20
"""Of more classes only the first are shown, the others in one line."""


def split_table(classes: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Table:
    """Returns a line a class and a column a split, with totals.

    Args:
        classes: names, in label order.
        counts: by split, the images of each class.
    """
    table = Table(["class", *counts, "total"])

    def add(name: str, numbers: Sequence[int]) -> None:
        table.add(name, *(f"{number:,}" for number in (*numbers, sum(numbers))))

    rows = [list(numbers) for numbers in zip(*counts.values(), strict=True)]
    shown = len(classes) if len(classes) <= MOST_CLASSES else MOST_CLASSES - 1
    for name, numbers in zip(classes[:shown], rows, strict=False):
        add(name, numbers)
    if rest := rows[shown:]:
        add(f"({len(rest)} more)", [sum(column) for column in zip(*rest, strict=True)])
    add("total", [sum(numbers) for numbers in counts.values()])
    return table

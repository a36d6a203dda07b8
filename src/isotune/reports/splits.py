"""A table of the numbers of images by class and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isotune.reports.tables import Table

MAX_ROWS = 20
"""Largest number of rows for classes; if there are more classes, the last row sums up the rest."""


def split_table(
    classes: Sequence[str],
    counts: Mapping[str, Sequence[int]],
    images: Mapping[str, int] | None = None,
) -> Table:
    """Returns a table with a row per class and a column per split, with totals.

    Args:
        classes: class names, in label order.
        counts: number of images of each class, in label order, by split.
        images: number of images by split; None where each has one label, so that it is the sum.
    """
    table = Table(["class", *counts, "total"])

    def add(name: str, numbers: Sequence[int]) -> None:
        table.add(name, *(f"{number:,}" for number in (*numbers, sum(numbers))))

    rows = [list(numbers) for numbers in zip(*counts.values(), strict=True)]
    shown = len(classes) if len(classes) <= MAX_ROWS else MAX_ROWS - 1
    for name, numbers in zip(classes[:shown], rows, strict=False):
        add(name, numbers)
    if rest := rows[shown:]:
        add(f"({len(rest)} more)", [sum(column) for column in zip(*rest, strict=True)])
    totals = [sum(numbers) for numbers in counts.values()]
    if images is not None and [images[split] for split in counts] != totals:
        add("images, any labels", [images[split] for split in counts])
    else:
        add("total", totals)
    return table

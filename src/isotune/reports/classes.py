"""The figures of each class as a table, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isotune.metrics.average_precision import average_precisions
from isotune.metrics.precision_recall import class_figures
from isotune.reports.numbers import percent, significant
from isotune.reports.tables import Table
from isotune.training.evaluation import AnyEvaluation

COLUMNS = ["class", "images", "predicted", "correct", "precision", "recall", "F1"]


def class_table(result: AnyEvaluation, classes: Sequence[str]) -> Table:
    """Returns a table of each class's figures; recall is the accuracy on its images.

    Where an image may have several labels, the average precision and the threshold follow.
    """
    limits, columns = result.thresholds, COLUMNS
    figures = class_figures(result)
    rows = [
        [*(f"{each:,}" for each in row[:3]), *map(percent, row[3:])]
        for row in zip(*figures, strict=True)
    ]
    if limits is not None:
        columns = [*columns, "AP", "threshold"]
        for row, area, limit in zip(rows, average_precisions(result), limits, strict=True):
            row += [percent(area), significant(float(limit))]
    table = Table(columns)
    for name, row in zip(classes, rows, strict=True):
        table.add(name, *row)
    return table


def class_data(result: AnyEvaluation) -> dict[str, list[Any]]:
    """Returns the figures of the classes, in label order, by name; undefined ones are NaN."""
    figures = {name: row.tolist() for name, row in class_figures(result)._asdict().items()}
    if result.thresholds is not None:
        figures["average_precision"] = average_precisions(result).tolist()
        figures["threshold"] = result.thresholds.tolist()
    return figures

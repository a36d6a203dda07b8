"""Metrics and out-of-fold predictions of a cross-validation, as tables and files."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from isotune.interfaces.dataset import Labels
from isotune.printable import csv_cell
from isotune.reports.metrics import heading, written
from isotune.reports.tables import Table
from isotune.runs.out_of_fold import OutOfFold

BETWEEN_LABELS = "|"
"""What stands between the labels of an image that has several."""


@dataclass(frozen=True)
class Statistics:
    """A metric over the folds in which it is defined.

    Attributes:
        mean: Its mean; NaN if it is defined in no fold.
        deviation: Its sample standard deviation, with one less than the number of folds as the
            divisor; NaN if it is defined in fewer than two.
    """

    mean: float
    deviation: float


def fold_statistics(folds: Sequence[Mapping[str, float]]) -> dict[str, Statistics]:
    """Returns the statistics of each metric over all folds, by its name."""
    result = {}
    for name in dict.fromkeys(name for metrics in folds for name in metrics):
        values = [metrics[name] for metrics in folds if math.isfinite(metrics.get(name, math.nan))]
        result[name] = Statistics(
            statistics.fmean(values) if values else math.nan,
            statistics.stdev(values) if len(values) > 1 else math.nan,
        )
    return result


def folds_table(predictions: OutOfFold) -> Table:
    """Returns a table with a row for each metric: its value in each fold, mean and deviation."""
    folds = list(_folds(predictions))
    table = Table(["metric", *(f"fold {number}" for number, _, _ in folds), "mean", "std"])
    table.add("images", *(size for _, size, _ in folds), "", "")
    for name, found in fold_statistics(predictions.metrics).items():
        values = [metrics.get(name) for metrics in predictions.metrics]
        cells = [written(name, value, True) for value in (*values, found.mean, found.deviation)]
        table.add(heading(name), *cells)
    return table


def metrics_json(predictions: OutOfFold) -> str:
    """Returns the metrics of all folds, their mean and standard deviation as JSON.

    A value that is undefined is null.
    """
    found = fold_statistics(predictions.metrics)
    plain = {
        "folds": [
            {"fold": number, "images": size, "metrics": _plain(metrics)}
            for number, size, metrics in _folds(predictions)
        ],
        "mean": _plain({name: each.mean for name, each in found.items()}),
        "std": _plain({name: each.deviation for name, each in found.items()}),
    }
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def write_metrics_csv(stream: TextIO, predictions: OutOfFold) -> None:
    """Writes a row for each fold and rows ``mean`` and ``std``; a value is empty if undefined."""
    found = fold_statistics(predictions.metrics)
    means = {name: each.mean for name, each in found.items()}
    deviations = {name: each.deviation for name, each in found.items()}
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["fold", "images", *found])
    for number, size, metrics in _folds(predictions):
        values = {name: metrics.get(name, math.nan) for name in found}
        writer.writerow([number, size, *_plain(values).values()])
    writer.writerow(["mean", "", *_plain(means).values()])
    writer.writerow(["std", "", *_plain(deviations).values()])


def write_predictions_csv(stream: TextIO, predictions: OutOfFold) -> None:
    """Writes a row for each image: name, true class, predicted class, fold and probabilities.

    Probabilities have as many digits as tell a float32 from its neighbors. Text is printable, and
    none is a formula (see :func:`isotune.printable.csv_cell`).
    """
    classes = predictions.classes
    writer = csv.writer(stream, lineterminator="\n")
    columns = (csv_cell(f"probability_{name}") for name in classes)
    writer.writerow(["image", "true", "predicted", "fold", *columns])
    rows = zip(
        predictions.names,
        _named(predictions.labels, classes),
        _named(predictions.predicted, classes),
        predictions.folds.tolist(),
        predictions.probabilities,
        strict=True,
    )
    for name, true, predicted, fold, row in rows:
        writer.writerow([csv_cell(name), csv_cell(true), csv_cell(predicted), fold, *map(str, row)])


def _named(labels: Labels, classes: Sequence[str]) -> Iterator[str]:
    if labels.ndim == 1:
        yield from (classes[label] for label in labels.tolist())
    else:
        for row in labels:
            yield BETWEEN_LABELS.join(classes[label] for label in np.flatnonzero(row))


def _folds(predictions: OutOfFold) -> Iterator[tuple[int, int, Mapping[str, float]]]:
    """Yields number, number of images and metrics of each fold."""
    sizes = np.bincount(predictions.folds, minlength=len(predictions.metrics) + 1).tolist()
    for number, metrics in enumerate(predictions.metrics, 1):
        yield number, sizes[number], metrics


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}

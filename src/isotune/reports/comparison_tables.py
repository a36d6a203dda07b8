"""A comparison of runs as tables."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from isotune.interfaces.metrics import EpochMetrics
from isotune.reports.comparison import Comparison, RunFigures
from isotune.reports.metrics import full_heading, further, heading, written
from isotune.reports.numbers import NONE, duration, number, percent, significant
from isotune.reports.tables import Table

_ROWS: dict[str, Callable[[RunFigures], str]] = {
    "backend": lambda run: run.backend or NONE,
    "device": lambda run: run.device or NONE,
    "state": lambda run: run.state,
    "backbone": lambda run: run.backbone,
    "head": lambda run: run.head,
    "frozen": lambda run: run.freeze,
    "parameters": lambda run: _number(run.parameters),
    "trainable": lambda run: _number(run.trainable),
    "epochs": lambda run: str(len(run.history)),
    "best val accuracy": lambda run: _value(run.best, "val_accuracy"),
    "best epoch": lambda run: str(run.best.epoch) if run.best else NONE,
    "final train loss": lambda run: _value(run.final, "train_loss"),
    "final val loss": lambda run: _value(run.final, "val_loss"),
    "first step": lambda run: duration(run.first_step),
    "ms/step": lambda run: number(run.step_ms, 1),
    "seconds/epoch": lambda run: number(_epoch_seconds(run), 1),
    "total": lambda run: duration(run.seconds),
}


def _value(metrics: EpochMetrics | None, name: str) -> str:
    return written(name, metrics.value(name) if metrics else None, exact=True)


def _further(comparison: Comparison) -> list[str]:
    return further(metrics for run in comparison.runs for metrics in run.history)


def _number(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"


def _epoch_seconds(run: RunFigures) -> float | None:
    """Returns the median: the first epoch also compiles."""
    seconds = [metrics.train_seconds + metrics.val_seconds for metrics in run.history]
    return median(seconds) if seconds else None


def labels(comparison: Comparison) -> list[str]:
    """Returns a short name for each run: its number and its backend."""
    return [
        f"{position}: {run.backend}" if run.backend else f"{position}"
        for position, run in enumerate(comparison.runs, 1)
    ]


def folders(comparison: Comparison) -> Table:
    """Returns the run folder of each label, and what stopped the run."""
    table = Table(["run", "folder", "stopped by"], ["left", "left", "left"])
    for label, run in zip(labels(comparison), comparison.runs, strict=True):
        table.add(label, run.path, run.stopped_by or NONE)
    return table


def overview(comparison: Comparison) -> Table:
    """Returns the runs side by side, a column per run; metrics are those of its best epoch."""
    table = Table(["", *labels(comparison)])
    for name, figure in _ROWS.items():
        table.add(name, *map(figure, comparison.runs))
        if name == "best epoch":
            for each in _further(comparison):
                values = [_value(run.best, each) for run in comparison.runs]
                table.add(f"best epoch's {heading(each)}", *values)
    packages = dict.fromkeys(name for run in comparison.runs for name in run.versions)
    for package in packages:
        table.add(package, *(run.versions.get(package, NONE) for run in comparison.runs))
    return table


def curves(comparison: Comparison) -> Table:
    """Returns training loss, validation accuracy and further metrics of every run, by epoch."""
    positions = range(1, len(comparison.runs) + 1)
    headings = {"train_loss": "train loss", "val_accuracy": "val acc"}
    headings |= {name: full_heading(name) for name in _further(comparison)}
    columns = [f"{text} {run}" for text in headings.values() for run in positions]
    table = Table(["epoch", *columns], ["right"] * (len(columns) + 1))
    for index in range(max(len(run.history) for run in comparison.runs)):
        epochs = [next(iter(run.history[index:]), None) for run in comparison.runs]
        table.add(index + 1, *(_value(epoch, name) for name in headings for epoch in epochs))
    return table


def differences(comparison: Comparison) -> Table:
    """Returns the largest differences of each run from the first, a line per run.

    That of training losses is relative; that of accuracies is also given in images.
    """
    first, *others = labels(comparison)
    columns = ["against", "epochs", "train loss", "in epoch", "val acc", "images", "in epoch"]
    table = Table(["run", *columns], ["left", "left", *["right"] * (len(columns) - 1)])
    for label, difference in zip(others, comparison.differences, strict=True):
        table.add(
            label,
            first,
            difference.epochs,
            significant(difference.train_loss),
            difference.train_loss_epoch or NONE,
            percent(difference.val_accuracy, 2),
            NONE if difference.val_images is None else difference.val_images,
            difference.val_accuracy_epoch or NONE,
        )
    return table

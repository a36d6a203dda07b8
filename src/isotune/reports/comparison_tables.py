"""A comparison of runs as tables."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from isotune.reports.comparison import Comparison, RunFigures
from isotune.reports.numbers import NONE, duration, loss, number, percent, significant
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
    "best val accuracy": lambda run: percent(run.best.val_accuracy if run.best else None, 2),
    "best epoch": lambda run: str(run.best.epoch) if run.best else NONE,
    "final train loss": lambda run: loss(run.final.train_loss if run.final else None, 6),
    "final val loss": lambda run: loss(run.final.val_loss if run.final else None, 6),
    "first step": lambda run: duration(run.first_step),
    "ms/step": lambda run: number(run.step_ms, 1),
    "seconds/epoch": lambda run: number(_epoch_seconds(run), 1),
    "total": lambda run: duration(run.seconds),
}


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
    """Returns which label is which run folder, and what stopped a run."""
    table = Table(["run", "folder", "stopped by"], ["left", "left", "left"])
    for label, run in zip(labels(comparison), comparison.runs, strict=True):
        table.add(label, run.path, run.stopped_by or NONE)
    return table


def overview(comparison: Comparison) -> Table:
    """Returns the runs side by side: a column a run, a line a figure."""
    table = Table(["", *labels(comparison)])
    for name, figure in _ROWS.items():
        table.add(name, *map(figure, comparison.runs))
    packages = dict.fromkeys(name for run in comparison.runs for name in run.versions)
    for package in packages:
        table.add(package, *(run.versions.get(package, NONE) for run in comparison.runs))
    return table


def curves(comparison: Comparison) -> Table:
    """Returns training loss and validation accuracy of every run, a line an epoch."""
    positions = range(1, len(comparison.runs) + 1)
    columns = [f"{figure} {run}" for figure in ("train loss", "val acc") for run in positions]
    table = Table(["epoch", *columns], ["right"] * (len(columns) + 1))
    for index in range(max(len(run.history) for run in comparison.runs)):
        epochs = [run.history[index : index + 1] for run in comparison.runs]
        losses = [loss(epoch[0].train_loss, 6) if epoch else NONE for epoch in epochs]
        accuracies = [percent(epoch[0].val_accuracy, 2) if epoch else NONE for epoch in epochs]
        table.add(index + 1, *losses, *accuracies)
    return table


def differences(comparison: Comparison) -> Table:
    """Returns how far each run is from the first at most: a line a run.

    That of training losses is relative; that of accuracies is also given in images.
    """
    first, *others = labels(comparison)
    columns = ["against", "epochs", "train loss", "in epoch", "val acc", "images", "in epoch"]
    table = Table(["run", *columns], ["left", "left", *["right"] * (len(columns) - 1)])
    for label, found in zip(others, comparison.differences, strict=True):
        table.add(
            label,
            first,
            found.epochs,
            significant(found.train_loss),
            found.train_loss_epoch or NONE,
            percent(found.val_accuracy, 2),
            NONE if found.val_images is None else found.val_images,
            found.val_accuracy_epoch or NONE,
        )
    return table

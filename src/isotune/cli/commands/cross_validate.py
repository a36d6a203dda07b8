"""``isotune cross-validate``: trains an experiment once for each fold of its images."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.options import Backend, Device, Log, Overrides, SpecName, observers_of

if TYPE_CHECKING:
    from rich.console import Console

    from isotune.experiment.cross_validate import CrossValidation


class By(str, Enum):
    """What folds have equal shares of, and what is kept apart."""

    LABEL = "label"
    GROUP = "group"


def cross_validate(
    spec: SpecName,
    folds: Annotated[int, typer.Option("--folds", "-k", help="Number of folds.")] = 5,
    by: Annotated[
        By, typer.Option(help="Divide each class evenly; with group, also keep groups together.")
    ] = By.LABEL,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the folds.")] = 0,
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    log: Log = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="New, empty, or to be continued."),
    ] = None,
) -> None:
    """Cross-validate an experiment.

    Trains a run for each fold on all other images, predicts the fold's images with it, and shows
    mean and standard deviation of every metric. With the folder of one that was stopped, it goes
    on.
    """
    from isotune.cli.watch import watched
    from isotune.experiment.cross_validate import cross_validate as validate
    from isotune.progress.console import output as standard_output
    from isotune.progress.run import FoldProgress

    console = standard_output()
    with watched(console, show=FoldProgress) as progress:
        finished = validate(
            spec,
            folds=folds,
            by=by.value,
            seed=seed,
            backend=backend,
            device=device,
            overrides=overrides or (),
            output=output,
            observers=[progress, *observers_of(log)],
            progress=False,
        )
    show_folds(console, finished)


def show_folds(console: Console, finished: CrossValidation) -> None:
    """Shows the metrics of a cross-validation, and where its files are."""
    from isotune.progress.console import quoted, show, show_table
    from isotune.reports.folds import folds_table
    from isotune.runs.cross_validation import METRICS_CSV, METRICS_JSON, PREDICTIONS_CSV

    show(console)
    show_table(console, folds_table(finished.predictions))
    show(console)
    show(console, f"metrics {finished.path / METRICS_CSV}, {METRICS_JSON}")
    show(console, f"out-of-fold predictions {finished.path / PREDICTIONS_CSV}")
    show(console, "next:")
    show(console, f"  isotune show label-errors {quoted(finished.path)}")
    show(console, f"  isotune evaluate {quoted(finished.runs[0])}")

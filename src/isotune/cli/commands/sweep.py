"""``isotune sweep``: searches a space of specs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.options import Backend, Device, Log, Overrides, SpecName, observers_of

if TYPE_CHECKING:
    from rich.console import Console

    from isotune.experiment.sweep import Sweep


class Sampling(str, Enum):
    """How values are chosen."""

    TPE = "tpe"
    RANDOM = "random"
    GRID = "grid"


class Pruning(str, Enum):
    """Which trials end early."""

    NONE = "none"
    MEDIAN = "median"
    SUCCESSIVE_HALVING = "successive_halving"
    HYPERBAND = "hyperband"


class Keeping(str, Enum):
    """Of which trials that have ended checkpoints are kept."""

    BEST = "best"
    ALL = "all"


def sweep(
    spec: SpecName,
    space: Annotated[
        Path, typer.Option("--space", metavar="FILE", help="A YAML file: what varies, and how.")
    ],
    trials: Annotated[
        int, typer.Option("--trials", "-n", help="Trials to end, earlier ones included.")
    ] = 30,
    workers: Annotated[
        int, typer.Option("--workers", "-w", help="Processes, which share this machine's CPUs.")
    ] = 1,
    sampler: Annotated[Sampling, typer.Option(help="How values are chosen.")] = Sampling.TPE,
    pruner: Annotated[
        Pruning, typer.Option(help="End trials early by the values of their epochs.")
    ] = Pruning.NONE,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the sampler.")] = 0,
    keep: Annotated[
        Keeping, typer.Option(help="Keep checkpoints of the best trial, or of all.")
    ] = Keeping.BEST,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="ISOTUNE_STORAGE",
            help="A database for several machines; by default a file in the folder.",
        ),
    ] = None,
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    log: Log = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="New, empty, or to be continued; runs/NAME-sweep by default.",
        ),
    ] = None,
) -> None:
    """Search for the best values of a spec's fields.

    Each trial is a run. The same command continues a sweep that was stopped or killed.
    """
    from isotune.cli.watch import watched
    from isotune.experiment.sweep import sweep as search
    from isotune.progress.console import output as standard_output
    from isotune.progress.sweep import SweepProgress

    console = standard_output()
    with watched(console, show=SweepProgress) as progress:
        finished = search(
            spec,
            space=space,
            trials=trials,
            workers=workers,
            sampler=sampler.value,
            pruner=pruner.value,
            seed=seed,
            keep=keep.value,
            storage=storage,
            backend=backend,
            device=device,
            overrides=overrides or (),
            output=output,
            observers=[progress, *observers_of(log)],
            progress=False,
        )
    _show(console, finished)


def _show(console: Console, finished: Sweep) -> None:
    from isotune.progress.console import quoted, show, show_table
    from isotune.reports.sweep import counts, trials_table
    from isotune.runs.sweep import TRIALS_CSV, TRIALS_JSON

    show(console)
    show_table(console, trials_table(finished.monitor, finished.trials))
    show(console)
    show(console, counts(finished.trials))
    show(console, f"best spec {finished.best_spec}")
    show(console, f"trials {finished.path / TRIALS_CSV}, {TRIALS_JSON}")
    show(console, "next:")
    show(console, f"  isotune show sweep {quoted(finished.path)}")
    show(console, f"  isotune evaluate {quoted(finished.run(finished.best))}")
    show(console, f"  isotune run {quoted(finished.best_spec)}")

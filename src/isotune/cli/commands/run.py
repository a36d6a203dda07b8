"""``isotune run``: runs an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.options import (
    Backend,
    Device,
    Log,
    Overrides,
    ProcessCount,
    SpecName,
    observers_of,
    processes_of,
)

if TYPE_CHECKING:
    from rich.console import Console

    from isotune.experiment.processes import Processes


def run(
    spec: SpecName,
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    log: Log = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="The run folder, new or empty."),
    ] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Show the model's layers.")] = False,
    processes: ProcessCount = "1",
) -> None:
    """Run an experiment.

    Trains the model, validates it, and saves the best and the last checkpoint.
    """
    from isotune.cli.watch import watched
    from isotune.experiment.run import run as run_experiment
    from isotune.progress.console import output as standard_output

    count, observers = processes_of(processes), observers_of(log)
    if count != 1 and run_in_processes(
        count, spec, backend, device, tuple(overrides or ()), output, summary, observers
    ):
        return
    console = standard_output()
    with watched(console, summary) as progress:
        finished = run_experiment(
            spec,
            backend=backend,
            device=device,
            overrides=overrides or (),
            output=output,
            observers=[progress, *observers],
            progress=False,
        )
    show_next_steps(console, finished.path)


def run_in_processes(
    processes: Processes,
    spec: str,
    backend: str | None,
    device: str,
    overrides: Sequence[str],
    output: Path | None,
    summary: bool,
    observers: Sequence[object] = (),
) -> bool:
    """Runs an experiment in several processes; returns False, if one is enough."""
    from isotune.cli.watch import watched_from_outside
    from isotune.experiment.processes import new_run_folder, start_run, starting
    from isotune.experiment.trackers import logged, named
    from isotune.plugins import plugins
    from isotune.spec.load import load_spec

    loaded = logged(load_spec(spec, overrides), named(observers)[1])
    start = starting(processes, lambda: backend or plugins.only_usable(), device, plugins)
    if start is None:
        return False
    options = ["--summary"] if summary else []
    with (
        new_run_folder(start, loaded, output) as folder,
        watched_from_outside(folder, start.count),
    ):
        start_run(start, loaded, device, folder, output=1, options=options)
    return True


def show_next_steps(console: Console, folder: Path) -> None:
    """Shows commands that use a finished run."""
    from isotune.progress.console import quoted, show

    show(console, f"run folder {folder}")
    show(console, "next:")
    for command in (
        "show predictions {}",
        "predict {} image.jpg",
        "evaluate {}",
        "compare {} ANOTHER_RUN",
    ):
        show(console, f"  isotune {command.format(quoted(folder))}")

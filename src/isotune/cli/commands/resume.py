"""``isotune resume``: continues a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.commands.cross_validate import show_folds
from isotune.cli.commands.run import show_next_steps
from isotune.cli.options import (
    Backend,
    Device,
    Log,
    Overrides,
    ProcessCount,
    observers_of,
    processes_of,
)

if TYPE_CHECKING:
    from isotune.experiment.processes import Processes


def resume(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of a run, or of a cross-validation.")
    ],
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    log: Log = None,
    checkpoint: Annotated[
        str,
        typer.Option(
            "--checkpoint", "-c", metavar="NAME", help="Where to resume; removes newer ones."
        ),
    ] = "last",
    processes: ProcessCount = "1",
) -> None:
    """Continue a run, or a cross-validation, that was stopped.

    Training resumes at the exact step of the newest checkpoint, on the same or another backend.
    """
    from isotune.cli.watch import watched
    from isotune.experiment.resume import resume as resume_run
    from isotune.progress.console import output
    from isotune.runs.cross_validation import CrossValidationFolder

    count, observers = processes_of(processes), observers_of(log)
    if CrossValidationFolder.is_one(run):
        if count != 1:
            raise typer.BadParameter(
                "a cross-validation goes on in one process.", param_hint="'--processes'"
            )
        if checkpoint != "last":
            raise typer.BadParameter(
                f"a cross-validation goes on from its last checkpoint; {run / 'fold-1'} is the"
                " folder of its first run.",
                param_hint="'--checkpoint'",
            )
        _resume_folds(run, backend, device, overrides or (), observers)
        return
    if count != 1 and resume_in_processes(
        count, run, backend, device, tuple(overrides or ()), checkpoint, observers
    ):
        return
    console = output()
    with watched(console) as progress:
        finished = resume_run(
            run,
            backend=backend,
            device=device,
            overrides=overrides or (),
            checkpoint=checkpoint,
            observers=[progress, *observers],
            progress=False,
        )
    show_next_steps(console, finished.path)


def resume_in_processes(
    processes: Processes,
    run: Path,
    backend: str | None,
    device: str,
    overrides: Sequence[str],
    checkpoint: str,
    observers: Sequence[object] = (),
) -> bool:
    """Continues a run in several processes; returns False, if one is enough."""
    from isotune.cli.watch import watched_from_outside
    from isotune.experiment.processes import start_resume, starting, trained_by
    from isotune.experiment.trackers import named
    from isotune.plugins import plugins

    start = starting(processes, lambda: backend or trained_by(run, plugins), device, plugins)
    if start is None:
        return False
    with watched_from_outside(run, start.count):
        logs = named(observers)[1]
        start_resume(start, run, device, overrides, checkpoint, logs, output=1)
    return True


def _resume_folds(
    folder: Path,
    backend: str | None,
    device: str,
    overrides: Iterable[str],
    observers: Sequence[object],
) -> None:
    from isotune.cli.watch import watched
    from isotune.experiment.cross_validate import resume_cross_validation
    from isotune.progress.console import output
    from isotune.progress.run import FoldProgress

    console = output()
    with watched(console, show=FoldProgress) as progress:
        finished = resume_cross_validation(
            folder,
            backend=backend,
            device=device,
            overrides=overrides,
            observers=[progress, *observers],
            progress=False,
        )
    show_folds(console, finished)

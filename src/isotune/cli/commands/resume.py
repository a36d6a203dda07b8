"""``isotune resume``: continues a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from isotune.cli.commands.cross_validate import show_folds
from isotune.cli.commands.run import show_next_steps
from isotune.cli.options import Backend, Device, Overrides


def resume(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of a run, or of a cross-validation.")
    ],
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    checkpoint: Annotated[
        str,
        typer.Option(
            "--checkpoint", "-c", metavar="NAME", help="Where to resume; removes newer ones."
        ),
    ] = "last",
) -> None:
    """Continue a run, or a cross-validation, that was stopped.

    Training resumes at the exact step of the newest checkpoint, on the same or another backend.
    """
    from isotune.cli.console import output
    from isotune.cli.watch import watched
    from isotune.experiment.resume import resume as resume_run
    from isotune.runs.cross_validation import CrossValidationFolder

    if CrossValidationFolder.is_one(run):
        if checkpoint != "last":
            raise typer.BadParameter(
                f"a cross-validation goes on from its last checkpoint; {run / 'fold-1'} is the"
                " folder of its first run.",
                param_hint="'--checkpoint'",
            )
        _resume_folds(run, backend, device, overrides or ())
        return
    console = output()
    with watched(console) as progress:
        finished = resume_run(
            run,
            backend=backend,
            device=device,
            overrides=overrides or (),
            checkpoint=checkpoint,
            observers=[progress],
        )
    show_next_steps(console, finished.path)


def _resume_folds(folder: Path, backend: str | None, device: str, overrides: Iterable[str]) -> None:
    from isotune.cli.console import output
    from isotune.cli.progress import FoldProgress
    from isotune.cli.watch import watched
    from isotune.experiment.cross_validate import resume_cross_validation

    console = output()
    with watched(console, show=FoldProgress) as progress:
        finished = resume_cross_validation(
            folder, backend=backend, device=device, overrides=overrides, observers=[progress]
        )
    show_folds(console, finished)

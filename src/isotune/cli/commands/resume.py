"""``isotune resume``: continues a run."""

from __future__ import annotations

from typing import Annotated

import typer

from isotune.cli.commands.run import show_next_steps
from isotune.cli.options import Backend, Device, Overrides, RunPath


def resume(
    run: RunPath,
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
    """Continue a run that was stopped.

    Training resumes at the exact step of the newest checkpoint, on the same or another backend.
    """
    from isotune.cli.console import output
    from isotune.cli.watch import watched
    from isotune.experiment.resume import resume as resume_run

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

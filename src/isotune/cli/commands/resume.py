"""``isotune resume``: continues a run."""

from __future__ import annotations

from typing import Annotated

import typer

from isotune.cli.commands.run import tell_what_next
from isotune.cli.options import Backend, Device, Overrides, RunPath


def resume(
    run: RunPath,
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    checkpoint: Annotated[
        str,
        typer.Option(
            "--checkpoint", "-c", metavar="NAME", help="Another than the newest; newer ones go."
        ),
    ] = "last",
) -> None:
    """Continue a run that was stopped.

    It goes on from its newest checkpoint at the exact step, on the same backend or another.
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
    tell_what_next(console, finished.path)

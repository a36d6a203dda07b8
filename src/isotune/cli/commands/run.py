"""``isotune run``: runs an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.options import Backend, Device, Overrides, SpecName

if TYPE_CHECKING:
    from rich.console import Console


def run(
    spec: SpecName,
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="The run folder, new or empty."),
    ] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Show the model's layers.")] = False,
) -> None:
    """Run an experiment.

    Trains the model, validates it, and saves the best and the last checkpoint.
    """
    from isotune.cli.console import output as standard_output
    from isotune.cli.watch import watched
    from isotune.experiment.run import run as run_experiment

    console = standard_output()
    with watched(console, summary) as progress:
        finished = run_experiment(
            spec,
            backend=backend,
            device=device,
            overrides=overrides or (),
            output=output,
            observers=[progress],
        )
    show_next_steps(console, finished.path)


def show_next_steps(console: Console, folder: Path) -> None:
    """Shows commands that use a finished run."""
    from isotune.cli.console import quoted, show

    show(console, f"run folder {folder}")
    show(console, "next:")
    for command in (
        "show predictions {}",
        "predict {} image.jpg",
        "evaluate {}",
        "compare {} ANOTHER_RUN",
    ):
        show(console, f"  isotune {command.format(quoted(folder))}")

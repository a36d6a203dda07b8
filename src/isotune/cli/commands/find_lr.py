"""``isotune find-lr``: suggests a learning rate by a range test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isotune.cli.options import Backend, Device, Overrides, SpecName


def find_lr(
    spec: SpecName,
    start: Annotated[float, typer.Option(help="Learning rate of the first update.")] = 1e-7,
    end: Annotated[float, typer.Option(help="Learning rate of the last update.")] = 10.0,
    steps: Annotated[int, typer.Option("--steps", "-n", help="Number of updates.")] = 100,
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A .png, .pdf or .svg of the curve."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the curve.")] = False,
) -> None:
    """Find a learning rate for an experiment.

    Trains a copy of the model at a growing learning rate, until the loss diverges, and suggests the
    learning rate for the spec. No run folder is written, and the schedule is ignored.
    """
    import json

    from isotune.experiment.find_lr import find_lr as find
    from isotune.progress.console import output as standard_output
    from isotune.progress.console import show, show_table
    from isotune.progress.range_test import range_test_bar
    from isotune.reports.drawing import check_figure_path, check_matplotlib, write_figure

    if output is not None:
        check_matplotlib()
        check_figure_path(output)
    console = standard_output()
    with range_test_bar(console, steps) as on_step:
        found = find(
            spec,
            start=start,
            end=end,
            steps=steps,
            backend=backend,
            device=device,
            overrides=overrides or (),
            on_step=on_step,
            progress=False,
        )
    written = None if output is None else write_figure(found.figure(), output)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
        return
    show_table(console, found.table())
    if not console.is_terminal:
        show(console)
    if written is not None:
        show(console, str(written))
    show(console, found.summary())
    show(console, found.line())

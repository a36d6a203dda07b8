"""``isotune summary``: shows the model of an experiment, layer by layer."""

from __future__ import annotations

from typing import Annotated

import typer

from isotune.cli.options import Backend, Device, Overrides, SpecName


def summary(
    spec: SpecName,
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    classes: Annotated[
        int | None,
        typer.Option(min=1, help="Number of classes, so that no dataset is needed."),
    ] = None,
) -> None:
    """Show the model of an experiment, layer by layer.

    Shows the parameters of each layer, and whether and from which epoch they train. Nothing is
    trained or written.
    """
    from isotune.experiment.summary import summary as summarize
    from isotune.progress.console import output, show, show_table

    model = summarize(
        spec, backend=backend, device=device, overrides=overrides or (), classes=classes
    )
    console = output()
    show_table(console, model.table())
    if not console.is_terminal:
        show(console)
    show(console, model.totals())

"""``isotune backbones``: lists the catalogue of backbones."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from isotune.cli.options import Backend


def backbones(
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="Pattern of names: 'resnet*', '*_v2_*'.")
    ] = "*",
    family: Annotated[str | None, typer.Option(help="A family, such as resnet or swin.")] = None,
    max_parameters: Annotated[
        float | None, typer.Option(metavar="M", help="Largest number of parameters, in millions.")
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(metavar="%", help="Lowest ImageNet accuracy, in percent.")
    ] = None,
    sort: Annotated[
        Literal["name", "parameters", "accuracy"], typer.Option(help="Order of the list.")
    ] = "name",
    backend: Backend = None,
    smaller: Annotated[float | None, typer.Option(hidden=True)] = None,
    better: Annotated[float | None, typer.Option(hidden=True)] = None,
) -> None:
    """List the backbones and their weights.

    With --backend, shows which of them the backend supports.
    """
    from isotune.catalogue.entries import catalogue
    from isotune.plugins import plugins
    from isotune.progress.console import output, show_table
    from isotune.reports.backbones import backbone_table, select_backbones

    opened = plugins.open_backend(backend, "auto") if backend else None
    millions = smaller if max_parameters is None else max_parameters
    percent = better if min_accuracy is None else min_accuracy
    entries = select_backbones(
        catalogue(plugins.backbones()).values(),
        pattern,
        family,
        sort,
        max_parameters=None if millions is None else millions * 1e6,
        min_accuracy=None if percent is None else percent / 100,
    )
    show_table(output(), backbone_table(entries, opened))

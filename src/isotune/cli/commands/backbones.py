"""``isotune backbones``: what can be fine-tuned."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from isotune.cli.options import Backend


def backbones(
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="Of names: 'resnet*', '*_v2_*'.")
    ] = "*",
    family: Annotated[str | None, typer.Option(help="Of one family only: resnet, swin.")] = None,
    smaller: Annotated[
        float | None, typer.Option(metavar="M", help="Of less than so many million parameters.")
    ] = None,
    better: Annotated[
        float | None, typer.Option(metavar="%", help="Of more than this ImageNet accuracy.")
    ] = None,
    sort: Annotated[
        Literal["name", "parameters", "accuracy"], typer.Option(help="The order of the list.")
    ] = "name",
    backend: Backend = None,
) -> None:
    """List the backbones and their weights.

    With --backend it tells which of them that backend has.
    """
    from isotune.catalogue.entries import catalogue
    from isotune.cli.console import output, show_table
    from isotune.plugins import plugins
    from isotune.reports.backbones import backbone_table, chosen

    opened = plugins.open_backend(backend, "auto") if backend else None
    known = catalogue(plugins.backbones()).values()
    limits = {"smaller": smaller and smaller * 1e6, "better": better and better / 100}
    show_table(output(), backbone_table(chosen(known, pattern, family, sort, **limits), opened))

"""``isotune check``: what is wrong with the images of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.group import FAILED
from isotune.cli.options import Overrides, SpecName

if TYPE_CHECKING:
    from isotune.experiment.check_data import DataCheck


def check(
    spec: SpecName,
    overrides: Overrides = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A split to check beside those to train and validate on."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 for warnings as well.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with all images concerned.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .png, .pdf or .svg of the images concerned."),
    ] = None,
) -> None:
    """Check the images of an experiment before training.

    Finds unreadable, equal and similar images, classes with similar names or few images, and images
    of unusual size, shape or brightness. Exits with 1 if a run would stop. Needs no backend.
    """
    import json

    from isotune.experiment.check_data import check_data
    from isotune.reports.drawing import check_figure_path, check_matplotlib

    if figure is not None:
        check_matplotlib()
        check_figure_path(figure)
    found = check_data(spec, overrides=overrides or (), splits=split or ())
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        _show(found)
    if figure is not None:
        _write(found, figure, quiet=as_json)
    if found.errors or (strict and found.warnings):
        raise typer.Exit(FAILED)


def _show(found: DataCheck) -> None:
    from isotune.progress.console import output, show, show_table
    from isotune.reports.numbers import count
    from isotune.reports.splits import split_table

    console = output()
    images = {each.name: len(each.source) for each in found.splits}
    show_table(console, split_table(found.classes, found.counts, images))
    if not console.is_terminal:
        show(console)
    if not found.findings:
        show(console, "nothing is wrong with these images")
        return
    show_table(console, found.table())
    if not console.is_terminal:
        show(console)
    show(console, f"{count(len(found.errors), 'error')}, {count(len(found.warnings), 'warning')}")


def _write(found: DataCheck, path: Path, quiet: bool) -> None:
    from isotune.cli.messages import complain
    from isotune.progress.console import output, show
    from isotune.reports.drawing import write_figure

    if not any(offender.images for each in found.findings for offender in each.offenders):
        complain(f"{path} is not written: no finding is about an image.")
        return
    written = write_figure(found.figure(), path)
    if not quiet:
        show(output(), str(written))

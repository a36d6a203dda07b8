"""``isotune show``: images of data, predictions and runs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.group import WRONG_CALL
from isotune.cli.options import Backend, Checkpoint, Device, Overrides, RunPath, SpecName

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isotune.experiment.result import Run

FOLDER = "figures"
"""Where in a run's folder its figures go."""


class Part(str, Enum):
    """Which images of an experiment."""

    TRAIN = "train"
    VAL = "val"


Split = Annotated[
    str | None, typer.Option(help="The split's name; the validation split by default.")
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="How many images, at most.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="A .png, .pdf or .svg; by default in RUN/figures."
    ),
]

show = typer.Typer()


@show.callback(invoke_without_command=True)
def needs_a_command(context: typer.Context) -> None:
    """Show data, predictions and runs as images.

    Each command writes a PNG file and prints its path.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(WRONG_CALL)


@show.command()
def data(
    spec: SpecName,
    overrides: Overrides = None,
    split: Annotated[Part, typer.Option(help="Training or validation images.")] = Part.TRAIN,
    count: Count = 16,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed than the spec's.")] = None,
    epoch: Annotated[int, typer.Option(min=1, help="Which epoch, from 1.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A .png, .pdf or .svg; NAME-data.png by default."
        ),
    ] = None,
) -> None:
    """Show images as the network sees them.

    The first ones of an epoch, in its order and augmented, with their classes. Needs no backend.
    """
    from isotune.experiment.show_data import show_data
    from isotune.spec.load import load_spec

    _check(output)
    loaded = load_spec(spec, overrides or ())
    figure = show_data(loaded, split=split.value, count=count, seed=seed, epoch=epoch)
    _write(figure, output or Path(f"{loaded.name}-data.png"))


@show.command()
def predictions(
    run: RunPath,
    split: Split = None,
    count: Count = 16,
    output: Output = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
) -> None:
    """Show predictions: right ones in blue, wrong ones in red."""
    _check(output)
    opened = _open(run, backend, device, checkpoint)
    _write(opened.show_predictions(count, split), output or _place(opened, "predictions", split))


@show.command()
def mistakes(
    run: RunPath,
    split: Split = None,
    count: Count = 16,
    output: Output = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
) -> None:
    """Show and list the most confident mistakes."""
    from isotune.cli.console import output as standard_output
    from isotune.cli.console import show, show_table
    from isotune.reports.mistakes import mistakes_figure, mistakes_table, summary

    _check(output)
    opened = _open(run, backend, device, checkpoint)
    found = opened.mistakes(count, split)
    console = standard_output()
    show(console, summary(found), "bold")
    if found.shown:
        show_table(console, mistakes_table(found))
    _write(mistakes_figure(found), output or _place(opened, "mistakes", split))


@show.command()
def confusion(
    run: RunPath,
    split: Split = None,
    output: Output = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
) -> None:
    """Show the confusion matrix: counts and row percentages."""
    _check(output)
    opened = _open(run, backend, device, checkpoint)
    _write(opened.show_confusion(split), output or _place(opened, "confusion", split))


@show.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="The folders of runs.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .png, .pdf or .svg; by default in RUN/figures, of several runs curves.png.",
        ),
    ] = None,
) -> None:
    """Show learning curves, of several runs over each other.

    Runs may be finished or not, and made with different backends. Needs no backend.
    """
    from isotune.experiment.result import show_curves

    _check(output)
    usual = runs[0] / FOLDER / "curves.png" if len(runs) == 1 else Path("curves.png")
    _write(show_curves(runs), output or usual)


def _check(output: Path | None) -> None:
    """Refuses, before anything costly is done, what could only fail after it."""
    from isotune.reports.drawing import check_figure_path, check_matplotlib

    check_matplotlib()
    if output is not None:
        check_figure_path(output)


def _open(run: Path, backend: str | None, device: str, checkpoint: str) -> Run:
    from isotune.experiment.open import open_run

    return open_run(run, backend=backend, device=device, checkpoint=checkpoint)


def _place(run: Run, name: str, split: str | None) -> Path:
    split = (split or run.spec.dataset.splits.val).replace("/", "-")
    return run.path / FOLDER / f"{name}-{split}.png"


def _write(figure: Figure, path: Path) -> None:
    from isotune.cli.console import output, show
    from isotune.reports.drawing import write_figure

    show(output(), str(write_figure(figure, path)))

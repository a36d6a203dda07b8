"""``isotune show``: figures of data, predictions and runs."""

from __future__ import annotations

from contextlib import nullcontext
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.figures import FOLDER, check_output, default_path, open_model, write
from isotune.cli.group import need_a_command
from isotune.cli.options import Backend, Checkpoint, Device, Flip, Model, Overrides, SpecName
from isotune.cli.streams import text_file

if TYPE_CHECKING:
    from isotune.experiment.classifier import Classifier
    from isotune.experiment.result import Run


class Part(str, Enum):
    """The training, validation or test images of an experiment."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


Split = Annotated[
    str | None, typer.Option(help="Name of the split; by default the validation split.")
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="Largest number of images.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="A .png, .pdf or .svg; by default in RUN/figures or beside an .onnx file.",
    ),
]

show = typer.Typer(name="show")


@show.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """Show figures of data, predictions and runs.

    Each command writes a PNG file and prints its path.
    """
    need_a_command(context)


@show.command()
def data(
    spec: SpecName,
    overrides: Overrides = None,
    split: Annotated[
        Part,
        typer.Option(help="Training or validation images, or the test images of dataset.split."),
    ] = Part.TRAIN,
    count: Count = 16,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; by default the spec's.")] = None,
    epoch: Annotated[int, typer.Option(min=1, help="Number of the epoch.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A .png, .pdf or .svg; NAME-data.png by default."
        ),
    ] = None,
) -> None:
    """Show images as the network sees them.

    Shows the first images of an epoch with their classes, in its order and augmented. Needs no
    backend.
    """
    from isotune.experiment.show_data import show_data
    from isotune.spec.load import load_spec

    check_output(output)
    loaded = load_spec(spec, overrides or ())
    figure = show_data(loaded, split=split.value, count=count, seed=seed, epoch=epoch)
    write(figure, output or Path(f"{loaded.name}-data.png"))


@show.command()
def predictions(
    run: Model,
    split: Split = None,
    count: Count = 16,
    output: Output = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    flip: Flip = False,
) -> None:
    """Show predictions: correct ones in blue, wrong ones in red."""
    check_output(output)
    opened = open_model(run, backend, device, checkpoint)
    figure = opened.show_predictions(count, split, flip=flip)
    write(figure, output or default_path(opened, "predictions", split))


@show.command()
def mistakes(
    run: Model,
    split: Split = None,
    count: Count = 16,
    explain: Annotated[
        bool, typer.Option("--explain", help="Draw beside each image what spoke for the mistake.")
    ] = False,
    output: Output = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    flip: Flip = False,
) -> None:
    """Show and list the most confident mistakes."""
    from isotune.experiment.explain import explain_mistakes
    from isotune.progress.console import output as standard_output
    from isotune.progress.console import show, show_table
    from isotune.reports.mistakes import mistakes_figure, mistakes_table, summary

    check_output(output)
    opened = open_model(run, backend, device, checkpoint)
    explained = _with_gradients(opened) if explain else None
    result = opened.mistakes(count, split, flip=flip)
    explanations = explain_mistakes(explained, result) if explained else ()
    console = standard_output()
    show(console, summary(result), "bold")
    if result.shown:
        show_table(console, mistakes_table(result))
    figure = mistakes_figure(result, explanations)
    write(figure, output or default_path(opened, "mistakes", split))


@show.command("label-errors")
def label_errors(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="The folder of a cross-validation or of a run, or an exported .onnx file.",
        ),
    ],
    split: Split = None,
    count: Count = 16,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="A CSV file of all of them.")
    ] = None,
    output: Output = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
) -> None:
    """Show and list images whose label the model doubts.

    They are found by confident learning, the most suspect first. Those of a cross-validation are
    looked for among all images, each predicted by a model that was not trained on it.
    """
    from isotune.experiment.label_errors import fold_label_errors
    from isotune.progress.console import output as standard_output
    from isotune.progress.console import show, show_table
    from isotune.reports import label_errors as report
    from isotune.runs.cross_validation import CrossValidationFolder

    check_output(output)
    with nullcontext() if csv is None else text_file(csv) as stream:
        if CrossValidationFolder.is_one(run):
            if split or backend or device != "auto" or checkpoint != "best":
                raise typer.BadParameter(
                    "a cross-validation has predicted all its images already: leave out --split,"
                    " --backend, --device and --checkpoint.",
                    param_hint="RUN",
                )
            found = fold_label_errors(run)
            default = CrossValidationFolder(run).subfolder(FOLDER) / "label-errors.png"
        else:
            opened = open_model(run, backend, device, checkpoint)
            found = opened.label_errors(split)
            default = default_path(opened, "label-errors", split)
        if stream is not None:
            report.write_csv(found, stream)
    console = standard_output()
    show(console, report.summary(found), "bold")
    if found.suspects:
        show_table(console, report.label_errors_table(found, count))
    if csv is not None:
        show(console, str(csv))
    write(report.label_errors_figure(found, count), output or default)


@show.command()
def explain(
    run: Model,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IMAGES]...",
            help="Images, folders or patterns; by default images of the validation split.",
        ),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="The class to explain; by default predicted."),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Stage for Grad-CAM, such as stage3, or a part's path."),
    ] = None,
    split: Split = None,
    count: Count = 16,
    output: Output = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
) -> None:
    """Show which parts of images decided.

    Vision transformers are explained by attention rollout, all other backbones by Grad-CAM at their
    last stage. Beside each image, as the network sees it, bright is what decided.
    """
    check_output(output)
    if images and split:
        raise typer.BadParameter(
            "takes the place of IMAGES: give one of them.", param_hint="--split"
        )
    opened = _with_gradients(open_model(run, backend, device, checkpoint))
    figure = opened.show_explanations(images or None, count, split, class_name, stage)
    default = opened.folder.subfolder(FOLDER) / "explain.png"
    write(figure, output or (default if images else default_path(opened, "explain", split)))


@show.command()
def confusion(
    run: Model,
    split: Split = None,
    output: Output = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    flip: Flip = False,
) -> None:
    """Show the confusion matrix: counts and row percentages."""
    check_output(output)
    opened = open_model(run, backend, device, checkpoint)
    figure = opened.show_confusion(split, flip=flip)
    write(figure, output or default_path(opened, "confusion", split))


@show.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="The folders of runs.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .png, .pdf or .svg; by default in RUN/figures, or curves.png of several runs.",
        ),
    ] = None,
) -> None:
    """Show the learning curves of one or several runs.

    Runs may be unfinished, and may use different backends. Needs no backend.
    """
    from isotune.experiment.result import show_curves
    from isotune.runs.folder import RunFolder

    check_output(output)
    figure = show_curves(runs)
    if output is None:
        folder = RunFolder.existing(runs[0]).subfolder(FOLDER) if len(runs) == 1 else Path()
        output = folder / "curves.png"
    write(figure, output)


@show.command()
def sweep(
    folder: Annotated[Path, typer.Argument(metavar="SWEEP", help="The folder of a sweep.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .png, .pdf or .svg; by default in SWEEP/figures.",
        ),
    ] = None,
) -> None:
    """Show the trials of a sweep: the best value so far, and values by each parameter.

    The sweep may go on meanwhile. Needs no backend.
    """
    from isotune.experiment.show_sweep import show_sweep
    from isotune.progress.console import output as standard_output
    from isotune.progress.console import show, show_table
    from isotune.reports.sweep import counts, trials_table
    from isotune.runs.sweep import SweepFolder

    check_output(output)
    figure = show_sweep(folder)
    opened = SweepFolder(folder)
    monitor, trials = opened.description().monitor, opened.trials()
    console = standard_output()
    show_table(console, trials_table(monitor, trials))
    show(console)
    show(console, counts(trials))
    write(figure, output or opened.inside(FOLDER) / "sweep.png")


def _with_gradients(opened: Classifier) -> Run:
    from isotune.errors import RunError
    from isotune.experiment.result import Run

    if isinstance(opened, Run):
        return opened
    raise RunError(
        f"{opened.path}: an exported file computes no gradients, so nothing in it can be explained;"
        " give the run's folder instead."
    )

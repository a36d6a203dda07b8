"""``isotune bench``: measures training steps and predictions on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.complete import backbone_names, backend_names
from isotune.cli.options import Device, ProcessCount, processes_of

if TYPE_CHECKING:
    from isotune.bench.results import Results

MODELS = ("resnet18",)
BATCHES = (8,)
INFERENCE_BATCHES = (1, 8)
MODES = ("finetune", "frozen")
PRECISIONS = ("fp32",)
PREDICTION_OPTIONS = ("runs", "backends", "device", "batches", "steps", "output")
"""Parameters of the command that go with ``--run``."""

bench = typer.Typer(name="bench")


@bench.callback(invoke_without_command=True)
def measure(
    context: typer.Context,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--run", metavar="RUN", help="Measure predictions of a run or an .onnx file instead."
        ),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            "-b",
            metavar="NAME",
            help="By default all usable ones.",
            autocompletion=backend_names,
        ),
    ] = None,
    device: Device = "auto",
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A backbone; resnet18 by default.",
            autocompletion=backbone_names,
        ),
    ] = None,
    batches: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, help="Images per step; 8 by default; with --run, 1 and 8."),
    ] = None,
    modes: Annotated[
        list[str] | None, typer.Option("--mode", help="finetune and frozen by default; or cached.")
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option("--precision", help="fp32 by default; or tf32, bf16, fp16."),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile models where optional.")
    ] = False,
    size: Annotated[int, typer.Option(min=1, help="Width and height of images, in pixels.")] = 224,
    steps: Annotated[int, typer.Option(min=1, help="Steps after the first one.")] = 10,
    group: Annotated[int, typer.Option(min=1, help="Steps per synchronization.")] = 1,
    processes: ProcessCount = "1",
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Images in train/CLASS and val/CLASS; else generated."),
    ] = None,
    images: Annotated[
        int, typer.Option(min=0, help="Number of generated images; 0: no data pipeline.")
    ] = 128,
    pictures: Annotated[int | None, typer.Option(min=0, hidden=True)] = None,
    native: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Hand-written loops; by default those of a checkout."),
    ] = None,
    no_native: Annotated[bool, typer.Option("--no-native", help="Measure Isotune alone.")] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .json; adds a .md beside it.")
    ] = Path("bench.json"),
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plot: a .png, .pdf or .svg.")
    ] = None,
) -> None:
    """Measure how fast training steps, data and trained models are.

    Every measurement runs in a new process, a hand-written loop's after Isotune's. Options for
    runs, backends, models, batches, modes and precisions may be repeated. With --run, images are
    decoded already, and ratios are those to the first run.
    """
    if context.invoked_subcommand is not None:
        return
    check_files(output, plot)
    if runs:
        check_no_training_options(context)
        measure_predictions(runs, backends, device, batches or INFERENCE_BATCHES, steps, output)
        return
    from dataclasses import replace

    from isotune.bench.processes import checkout_loops
    from isotune.bench.setting import Setting
    from isotune.bench.suite import Suite, benchmark_images, settings
    from isotune.cli.messages import complain
    from isotune.experiment.processes import starting
    from isotune.plugins import plugins

    base = Setting("any", device=device, size=size, steps=steps, group=group, compile=compiled)
    backends = backends or [each.name for each in plugins.reports() if each.problem is None]
    names = backends or [plugins.only_usable()]
    start = starting(processes_of(processes), lambda: names[0], device, plugins)
    if start is not None:
        base = replace(base, processes=start.count)
    measured = settings(
        names,
        models or MODELS,
        batches or BATCHES,
        modes or MODES,
        precisions or PRECISIONS,
        base,
    )
    loops = None if no_native else native or checkout_loops()
    with ExitStack() as stack:
        folder = benchmark_images(data, images if pictures is None else pictures, stack)
        write(Suite(measured, folder, loops).run(complain), output, plot)


def check_no_training_options(context: typer.Context) -> None:
    """Checks that only options were given that go with ``--run``.

    Raises:
        SpecError: another one was given.
    """
    from isotune.errors import SpecError

    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in PREDICTION_OPTIONS
        and (source := context.get_parameter_source(parameter.name or ""))
        and source.name == "COMMANDLINE"
    ]
    if given:
        go = "goes" if len(given) == 1 else "go"
        raise SpecError(
            f"{' and '.join(given)} {go} with training steps, and --run measures predictions."
        )


def measure_predictions(
    runs: Sequence[Path],
    backends: Sequence[str] | None,
    device: str,
    batches: Sequence[int],
    steps: int,
    output: Path,
) -> None:
    """Measures how fast runs and exported files predict, and writes the results."""
    from isotune.bench.inference import (
        InferenceSetting,
        inference_measurements,
        inference_settings,
    )
    from isotune.bench.suite import collect
    from isotune.cli.messages import complain

    base = InferenceSetting("", 1, device=device, steps=steps)
    settings = inference_settings(runs, batches, backends or [None], base)
    write(collect(inference_measurements(settings), complain), output, None)


@bench.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="The reference results.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="The results to compare.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Compare two machines or versions by ratios of B to A.

    A ratio of times below 1 means that B is faster.
    """
    from isotune.bench.compare import comparison_table
    from isotune.bench.results import machine, read_results
    from isotune.progress.console import output as standard_output
    from isotune.progress.console import show, show_table

    a, b = read_results(first), read_results(second)
    table = comparison_table(a, b, (first.stem, second.stem))
    console = standard_output()
    if markdown:
        show(console, table.markdown())
        return
    show(console, f"{first.stem}: {machine(a)}")
    show(console, f"{second.stem}: {machine(b)}")
    show_table(console, table)


def check_files(output: Path, plot: Path | None) -> None:
    """Checks that the results can be written, before anything is measured.

    Raises:
        SpecError: a file has the wrong suffix.
        IsotuneError: a plot is requested, and matplotlib is not installed.
    """
    from isotune.errors import SpecError

    if output.suffix != ".json":
        raise SpecError(f"{output}: the name of the results should end in .json.")
    if plot is not None:
        from isotune.reports.drawing import check_figure_path, check_matplotlib

        check_figure_path(plot)
        check_matplotlib()


def write(results: Results, output: Path, plot: Path | None) -> None:
    """Writes the results, a Markdown page and a plot, and shows the tables."""
    import json

    from isotune.bench.results import markdown, tables
    from isotune.progress.console import output as standard_output
    from isotune.progress.console import show, show_table
    from isotune.storage.atomic import write_atomically

    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, json.dumps(results, indent=1, allow_nan=False) + "\n")
    write_atomically(page := output.with_suffix(".md"), markdown(results))
    written = [output, page]
    if plot is not None:
        from isotune.bench.plot import plot as draw
        from isotune.reports.drawing import write_figure

        written.append(write_figure(draw(results), plot))
    console = standard_output()
    for table in tables(results):
        show_table(console, table)
        show(console)
    for path in written:
        show(console, f"wrote {path}")

"""``isotune fit``: from images to a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.options import Backend, Device, Log, Overrides, observers_of

if TYPE_CHECKING:
    from isotune.experiment.result import Run


def fit(
    images: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|TABLE", help="A folder of class folders, a table, an archive, shards."
        ),
    ],
    minutes: Annotated[
        float, typer.Option("--minutes", "-m", help="Time for all of it, except downloads.")
    ] = 5.0,
    backend: Backend = None,
    device: Device = "auto",
    overrides: Overrides = None,
    log: Log = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The run folder, new or empty; with --spec-only the spec's file.",
        ),
    ] = None,
    spec_only: Annotated[
        bool, typer.Option("--spec-only", help="Write the spec, and train nothing.")
    ] = False,
) -> None:
    """Train a classifier of images: look at them, write a spec, run it.

    Every field of the spec has its reason beside it. Without --backend, takes one that can be used.
    """
    from isotune.cli.watch import watched
    from isotune.fitting.fit import fit as fit_images
    from isotune.fitting.fit import propose_spec
    from isotune.progress.console import output as standard_output
    from isotune.progress.console import show

    if spec_only:
        proposal = propose_spec(
            images, minutes=minutes, backend=backend, device=device, overrides=overrides or ()
        )
        _write(proposal.text, output)
        return
    console = standard_output()
    with watched(console) as progress:
        finished = fit_images(
            images,
            minutes=minutes,
            backend=backend,
            device=device,
            overrides=overrides or (),
            output=output,
            observers=[progress, *observers_of(log)],
            progress=False,
        )
    for line in _ending(finished):
        show(console, line)


def _write(text: str, path: Path | None) -> None:
    from isotune.errors import SpecError
    from isotune.progress.console import output, quoted, show
    from isotune.storage.atomic import write_atomically
    from isotune.storage.paths import exists

    if path is None:
        typer.echo(text, nl=False)
        return
    if exists(path):
        raise SpecError(f"{path}: is there already; name another file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise SpecError(f"{path}: cannot be written: {error.strerror}.") from error
    show(output(), f"{path}; next: isotune run {quoted(path)}")


def _ending(finished: Run) -> list[str]:
    """Returns what came out, and commands that use it."""
    from isotune.fitting.fit import SPEC
    from isotune.progress.console import quoted

    run, monitor = quoted(finished.path), finished.spec.checkpoint.monitor
    best = finished.best.values[monitor]
    lines = [f"best epoch {finished.best.epoch}: {monitor} {best:.4f}"]
    if len(finished.history) < finished.spec.epochs:
        done = f"{len(finished.history)} of {finished.spec.epochs} epochs"
        lines.append(f"ended after {done}; to go on: isotune resume {run}")
    return [
        *lines,
        f"run folder {finished.path}, with the spec and its reasons in {SPEC}",
        "next:",
        f"  isotune predict {run} image.jpg",
        f"  isotune show mistakes {run}",
        f"  isotune export {run} model.onnx",
    ]

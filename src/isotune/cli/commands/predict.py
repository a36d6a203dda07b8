"""``isotune predict``: the classes of images."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from isotune.cli.options import Backend, Checkpoint, Device, RunPath

if TYPE_CHECKING:
    from isotune.cli.prediction_writers import PredictionWriter
    from isotune.experiment.result import Run

SOME_UNREADABLE = 1


class Format(str, Enum):
    """How predictions are written."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"


def predict(
    run: RunPath,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES", help="Images, folders of images, patterns such as 'a/**/*.jpg'."
        ),
    ],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many classes to name.")] = 1,
    form: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="By default as FILE is called, or table."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A file instead of standard output."),
    ] = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
) -> None:
    """Predict the classes of images.

    Writes for each image its path, its likeliest classes and their probabilities.
    """
    from isotune.data.sources.files import find_images
    from isotune.experiment.open import open_run

    paths = find_images(images)
    with _destination(output) as stream:
        opened = open_run(run, backend=backend, device=device, checkpoint=checkpoint)
        top = min(top, len(opened.classes))
        chosen = form or _format_of(output)
        writer = _writer(chosen, stream, [str(path) for path in paths], opened.classes, top)
        unreadable = _write_all(opened, paths, top, writer)
    if output is not None:
        from isotune.reports.numbers import count

        typer.echo(f"{output}: {count(len(paths) - unreadable, 'prediction')}")
    if unreadable:
        raise typer.Exit(SOME_UNREADABLE)


def _write_all(run: Run, paths: Sequence[Path], top: int, writer: PredictionWriter) -> int:
    """Writes what becomes of each image; returns how many cannot be read."""
    from isotune.cli.messages import complain
    from isotune.errors import DatasetError

    unreadable = 0
    for path, prediction in zip(paths, run.predict_each(paths, top), strict=True):
        if isinstance(prediction, DatasetError):
            complain(str(prediction))
            writer.write_error(str(path), prediction)
            unreadable += 1
        else:
            writer.write(str(path), prediction)
    return unreadable


def _format_of(output: Path | None) -> Format:
    suffix = output.suffix.lower() if output else ""
    return {".csv": Format.CSV, ".jsonl": Format.JSONL}.get(suffix, Format.TABLE)


def _writer(
    chosen: Format, stream: TextIO, paths: Sequence[str], classes: Sequence[str], top: int
) -> PredictionWriter:
    from isotune.cli import prediction_writers as writers
    from isotune.cli.console import output

    if chosen is Format.CSV:
        return writers.CSV(stream, top)
    if chosen is Format.JSONL:
        return writers.JSONLines(stream)
    return writers.Lines(output(stream), paths, classes, top)


@contextmanager
def _destination(output: Path | None) -> Iterator[TextIO]:
    """Gives standard output, or a file that is there under its name only when it is whole.

    Raises:
        RunError: the file cannot be written.
    """
    from isotune.errors import RunError
    from isotune.storage.atomic import atomic_file

    if output is None:
        # Names of files are bytes; those that are no text come out as they are.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="surrogateescape")
        yield sys.stdout
        return
    try:
        if output.is_dir():
            raise RunError(f"{output}: is a folder; name a file.")
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(output) as file:
            stream = TextIOWrapper(file, encoding="utf-8", errors="surrogateescape")
            yield stream
            stream.detach()
    except OSError as error:
        raise RunError(f"{output}: cannot be written: {error.strerror}.") from error

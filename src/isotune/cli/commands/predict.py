"""``isotune predict``: predicts the classes of images."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from isotune.cli.options import Backend, Checkpoint, Device, Flip, Model, Threshold
from isotune.cli.streams import text_file

if TYPE_CHECKING:
    from isotune.cli.prediction_writers import PredictionWriter
    from isotune.errors import DatasetError
    from isotune.experiment.classifier import Classifier
    from isotune.experiment.prediction import Prediction

SOME_UNREADABLE = 1


class Format(str, Enum):
    """Output formats of predictions."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"


def predict(
    run: Model,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES", help="Images, folders of images, or patterns such as 'a/**/*.jpg'."
        ),
    ],
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            "-k",
            min=1,
            help="Number of classes per image; by default one, and of several labels all.",
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="By default given by FILE's suffix."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="File instead of standard output."),
    ] = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    threshold: Threshold = None,
    flip: Flip = False,
) -> None:
    """Predict the classes of images.

    Writes the path, the most likely classes and their probabilities for each image. Where an image
    may have several labels, a table has those whose probability reaches their threshold.
    """
    from isotune.data.sources.files import find_images
    from isotune.exporting.open import open_classifier

    paths = find_images(images)
    with _destination(output) as stream:
        opened = open_classifier(run, backend=backend, device=device, checkpoint=checkpoint)
        if threshold is not None:
            opened = opened.with_threshold(threshold)
        form = form or _format_of(output)
        writer = _writer(form, stream, [str(path) for path in paths], opened, top)
        predictions = opened.predict_each(paths, _count(opened, top), flip=flip)
        unreadable = _write_all(paths, predictions, writer)
    if output is not None:
        from isotune.progress.console import output as standard_output
        from isotune.progress.console import show
        from isotune.reports.numbers import count

        show(standard_output(), f"{output}: {count(len(paths) - unreadable, 'prediction')}")
    if unreadable:
        raise typer.Exit(SOME_UNREADABLE)


def _write_all(
    paths: Sequence[Path],
    predictions: Iterable[Prediction | DatasetError],
    writer: PredictionWriter,
) -> int:
    """Writes the predictions; returns the number of images that cannot be read."""
    from isotune.cli.messages import complain
    from isotune.errors import DatasetError

    unreadable = 0
    for path, prediction in zip(paths, predictions, strict=True):
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


def _count(model: Classifier, top: int | None) -> int:
    """Returns the number of classes that are written of each image."""
    everything = len(model.classes)
    return min(top or (1 if model.thresholds is None else everything), everything)


def _writer(
    form: Format, stream: TextIO, paths: Sequence[str], model: Classifier, top: int | None
) -> PredictionWriter:
    from isotune.cli import prediction_writers as writers
    from isotune.progress.console import output

    several = model.thresholds is not None
    match form:
        case Format.CSV:
            return writers.CSV(stream, _count(model, top), several)
        case Format.JSONL:
            return writers.JSONLines(stream, several)
        case Format.TABLE if several:
            return writers.LabelLines(output(stream), paths, top)
        case Format.TABLE:
            return writers.Lines(output(stream), paths, model.classes, _count(model, top))


def _destination(output: Path | None) -> AbstractContextManager[TextIO]:
    return nullcontext(sys.stdout) if output is None else text_file(output)

"""``isotune export``: writes a run's model to a file, verified."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.options import Backend, Checkpoint, Device, RunPath

if TYPE_CHECKING:
    from isotune.exporting.manifest import VerificationReport


class Precision(str, Enum):
    """What an exported model computes in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Preprocess(str, Enum):
    """What of the preprocessing is in an exported graph."""

    NORMALIZE = "normalize"
    FULL = "full"


def export(
    run: RunPath,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .onnx, .mindir, .md or .html file.")
    ],
    precision: Annotated[
        Precision, typer.Option(help="What the model computes in.")
    ] = Precision.FP32,
    preprocess: Annotated[
        Preprocess, typer.Option(help="Preprocessing in the graph; full: all transforms, too.")
    ] = Preprocess.NORMALIZE,
    accept_loss: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Largest loss of accuracy of fp16 and int8; else 0.01."),
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="What only you know of the model, for a model card."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Another dataset with these classes to compare on."),
    ] = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
) -> None:
    """Export a run's model, verified against the run, or a model card.

    File and run evaluate every validation image. If they do not agree, no file is written.
    A .md or .html file is a model card: what is known of the data, the training and the model.
    """
    from isotune.exporting.export import export as export_file
    from isotune.progress.console import output, show

    console = output()
    exported = export_file(
        run,
        file,
        precision=precision.value,
        preprocess=preprocess.value,
        accept_loss=accept_loss,
        about=about,
        data=data,
        backend=backend,
        device=device,
        checkpoint=checkpoint,
        tell=lambda line: show(console, line),
    )
    for line in _lines(exported.report) if exported.report else []:
        show(console, f"  {line}")
    show(console, f"wrote {exported.path}")


def _lines(report: VerificationReport) -> list[str]:
    from isotune.reports.numbers import count, percent, significant

    margin = max((flip.margin for flip in report.flips), default=0.0)
    near = f", the largest margin {margin:.2g}"
    pixels = report.pixels and (
        f"difference to Pillow's    {significant(report.pixels.mean)} levels of 255 on average,"
        f" {report.pixels.largest} at most"
    )
    return [
        f"images compared           {report.images:,}",
        *([pixels] if pixels else []),
        f"largest logit difference  {significant(report.largest_difference)}"
        f" ({significant(report.relative_difference)} of the largest)",
        f"predictions that flip     {len(report.flips)}{near if report.flips else ''}",
        f"accuracy                  {percent(report.accuracy_before, 2)} before,"
        f" {percent(report.accuracy_after, 2)} after",
        f"time                      {report.milliseconds:.1f} ms an image,"
        f" in batches of {report.batch_size}",
        f"size                      {count(report.bytes, 'byte')}",
    ]

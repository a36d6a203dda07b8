"""``isotune evaluate``: a run's model on labelled images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isotune.cli.options import Backend, Checkpoint, Device, RunPath

if TYPE_CHECKING:
    from isotune.reports.tables import Table
    from isotune.training.evaluation import Evaluation


def evaluate(
    run: RunPath,
    split: Annotated[
        str | None, typer.Option(help="The split's name; the validation split by default.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Another dataset with the same classes.")
    ] = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the confusion matrix.")
    ] = False,
) -> None:
    """Evaluate a run's model on labelled images."""
    import json

    from isotune.cli.console import output, show, show_table
    from isotune.experiment.open import open_run
    from isotune.reports import numbers as figures

    opened = open_run(run, backend=backend, device=device, checkpoint=checkpoint)
    result = opened.evaluate(split, data)
    name = split or opened.spec.dataset.splits.val
    if as_json:
        plain = {"run": str(run), "split": name, **plain_data(result, opened.classes)}
        typer.echo(json.dumps(plain, indent=2, allow_nan=False))
        return
    console = output()
    images = figures.count(len(result.labels), "image")
    show(console, f"{run}: {opened.backend.name} on {opened.backend.device}", "bold")
    show(console, f"  split     {name}, {images}")
    show(console, f"  loss      {figures.loss(result.loss, 6)}")
    show(console, f"  accuracy  {figures.percent(result.accuracy, 2)}")
    if not console.is_terminal:
        show(console)
    show_table(console, by_class(result, opened.classes))


def by_class(result: Evaluation, classes: tuple[str, ...]) -> Table:
    """Returns images and accuracy of every class."""
    from isotune.reports.numbers import percent
    from isotune.reports.tables import Table

    table = Table(["class", "images", "right", "accuracy"])
    right = result.predicted == result.labels
    for label, name in enumerate(classes):
        of_class = right[result.labels == label]
        share = float(of_class.mean()) if of_class.size else None
        table.add(name, of_class.size, int(of_class.sum()), percent(share))
    return table


def plain_data(result: Evaluation, classes: tuple[str, ...]) -> dict[str, Any]:
    """Returns an evaluation for JSON, with null for a loss that is no number.

    A row of ``confusion`` is a true class, a column a predicted one, in the order of ``classes``.
    """
    from isotune.reports.confusion import confusion_matrix

    matrix = confusion_matrix(result.labels, result.predicted, len(classes))
    return {
        "images": len(result.labels),
        "loss": result.loss if math.isfinite(result.loss) else None,
        "accuracy": result.accuracy,
        "classes": list(classes),
        "confusion": matrix.tolist(),
    }

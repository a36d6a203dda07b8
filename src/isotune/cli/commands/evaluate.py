"""``isotune evaluate``: a run's model on labeled images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isotune.cli.options import Backend, Checkpoint, Device, Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from isotune.reports.tables import Table
    from isotune.training.evaluation import Evaluation


def evaluate(
    run: Model,
    split: Annotated[
        str | None, typer.Option(help="The split's name; the validation split by default.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Another dataset with these classes, or some of them."),
    ] = None,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the confusion matrix.")
    ] = False,
) -> None:
    """Evaluate a run's model on labeled images."""
    import json

    from isotune.cli.console import output, show, show_table
    from isotune.exporting.open import open_classifier
    from isotune.reports import numbers as figures
    from isotune.reports.metrics import heading, written

    opened = open_classifier(run, backend=backend, device=device, checkpoint=checkpoint)
    result = opened.evaluate(split, data)
    name = split or opened.spec.dataset.splits.val
    if as_json:
        plain = {"run": str(run), "split": name, **plain_data(result, opened.classes)}
        typer.echo(json.dumps(plain, indent=2, allow_nan=False))
        return
    console = output()
    rows = {"split": f"{name}, {figures.count(len(result.labels), 'image')}"}
    if missing := _without_images(result, opened.classes):
        rows["classes"] = (
            f"{len(opened.classes) - len(missing)} of {len(opened.classes)} have images"
        )
    rows |= {heading(key): written(key, value, True) for key, value in result.metrics.items()}
    width = max(map(len, rows))
    show(console, f"{run}: {opened.engine}", "bold")
    for label, text in rows.items():
        show(console, f"  {label:<{width}}  {text}")
    if not console.is_terminal:
        show(console)
    show_table(console, by_class(result, opened.classes))
    if missing:
        show(console, _averages(result))


def by_class(result: Evaluation, classes: tuple[str, ...]) -> Table:
    """Returns a table of each class's figures; recall is the accuracy on its images."""
    from isotune.metrics.precision_recall import class_figures
    from isotune.reports.numbers import percent
    from isotune.reports.tables import Table

    columns = ["images", "predicted", "correct", "precision", "recall", "F1"]
    table = Table(["class", *columns])
    for name, row in zip(classes, zip(*class_figures(result.confusion), strict=True), strict=True):
        table.add(name, *row[:3], *map(percent, row[3:]))
    return table


def plain_data(result: Evaluation, classes: tuple[str, ...]) -> dict[str, Any]:
    """Returns an evaluation for JSON, with null for a value that is undefined.

    A row of ``confusion`` is a true class, a column a predicted one, in the order of ``classes``;
    so are the values of ``per_class``. Macro averages are over the classes that occur among labels
    or predictions.
    """
    from isotune.metrics.precision_recall import class_figures

    per_class = class_figures(result.confusion)._asdict()
    return {
        "images": len(result.labels),
        **{name: _or_null(value) for name, value in result.metrics.items()},
        "classes": list(classes),
        "classes_without_images": _without_images(result, classes),
        "classes_in_macro_averages": _chosen(classes, result.occur),
        "confusion": result.confusion.tolist(),
        "per_class": {name: [*map(_or_null, row.tolist())] for name, row in per_class.items()},
    }


def _without_images(result: Evaluation, classes: tuple[str, ...]) -> list[str]:
    return _chosen(classes, ~result.have_images)


def _chosen(classes: tuple[str, ...], chosen: NDArray[np.bool_]) -> list[str]:
    return [name for name, is_chosen in zip(classes, chosen.tolist(), strict=True) if is_chosen]


def _averages(result: Evaluation) -> str:
    """Returns which classes the averages are over."""
    from isotune.reports.numbers import count

    occurring = count(int(result.occur.sum()), "class", "classes")
    present = count(int(result.have_images.sum()), "class", "classes")
    return (
        f"Macro averages are over {occurring} among labels or predictions, balanced accuracy and"
        f" ROC AUC over {present} with images."
    )


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None

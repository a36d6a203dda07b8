"""``isotune evaluate``: a run's model on labeled images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isotune.cli.options import (
    Backend,
    Checkpoint,
    Device,
    Flip,
    Model,
    ProcessCount,
    Threshold,
    processes_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from isotune.experiment.processes import Processes
    from isotune.training.evaluation import AnyEvaluation


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
    threshold: Threshold = None,
    flip: Flip = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the confusion matrix.")
    ] = False,
    processes: ProcessCount = "1",
) -> None:
    """Evaluate a run's model on labeled images."""
    count = processes_of(processes)
    if count != 1:
        options: dict[str, object] = {"--split": split, "--data": data}
        options |= {"--checkpoint": checkpoint, "--threshold": threshold}
        flags = [*["--flip"] * flip, *["--json"] * as_json]
        if evaluate_in_processes(count, run, backend, device, options, flags):
            return
    import json

    from isotune.distributed.joined import joined
    from isotune.exporting.open import open_classifier
    from isotune.plugins import plugins
    from isotune.progress.console import output, show, show_table
    from isotune.reports import numbers as figures
    from isotune.reports.classes import class_table
    from isotune.reports.examples import images_of
    from isotune.reports.metrics import heading, written

    with joined(backend, device, plugins) as others:
        opened = open_classifier(
            run, backend=backend, device=device, checkpoint=checkpoint, others=others
        )
        if threshold is not None:
            opened = opened.with_threshold(threshold)
        result = opened.evaluate(split, data, flip=flip)
    name = opened.split_name(split, data)
    if as_json:
        plain = {"run": str(run), "split": name, "flip": flip, **plain_data(result, opened.classes)}
        typer.echo(json.dumps(plain, indent=2, allow_nan=False))
        return
    console = output()
    images = figures.count(len(result.labels), "image")
    rows = {"split": f"{images_of(name, flip)}, {images}"}
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
    show_table(console, class_table(result, opened.classes))
    if missing:
        show(console, _averages(result))


def evaluate_in_processes(
    processes: Processes,
    run: Path,
    backend: str | None,
    device: str,
    options: Mapping[str, object],
    flags: Sequence[str],
) -> bool:
    """Evaluates a run in several processes; returns False, if one is enough.

    Args:
        processes: How many.
        run: The run's folder.
        backend: Name of the backend; None takes the one that trained the run.
        device: As for ``isotune.run``.
        options: More options of the command, and their values; None stands for none.
        flags: Options without a value.
    """
    from isotune.experiment.processes import starting, trained_by
    from isotune.plugins import plugins

    start = starting(processes, lambda: backend or trained_by(run, plugins), device, plugins)
    if start is None:
        return False
    given = [str(each) for pair in options.items() if pair[1] is not None for each in pair]
    where = ("--backend", start.backend, "--device", device)
    start.isotune(["evaluate", run, *where, *given, *flags], output=1)
    return True


def plain_data(result: AnyEvaluation, classes: tuple[str, ...]) -> dict[str, Any]:
    """Returns an evaluation for JSON, with null for a value that is undefined.

    A row of ``confusion`` is a true class, a column a predicted one, in the order of ``classes``;
    so are the values of ``per_class``. Where an image may have several labels, ``confusion`` holds
    a matrix for each class: without the label and with it, not predicted and predicted. Macro
    averages are over the classes that occur among labels or predictions.
    """
    from isotune.reports.classes import class_data

    return {
        "images": len(result.labels),
        **{name: _or_null(value) for name, value in result.metrics.items()},
        "classes": list(classes),
        "classes_without_images": _without_images(result, classes),
        "classes_in_macro_averages": _chosen(classes, result.occur),
        "confusion": result.confusion.tolist(),
        "per_class": {name: [*map(_or_null, row)] for name, row in class_data(result).items()},
    }


def _without_images(result: AnyEvaluation, classes: tuple[str, ...]) -> list[str]:
    return _chosen(classes, ~result.have_images)


def _chosen(classes: tuple[str, ...], chosen: NDArray[np.bool_]) -> list[str]:
    return [name for name, is_chosen in zip(classes, chosen.tolist(), strict=True) if is_chosen]


def _averages(result: AnyEvaluation) -> str:
    """Returns which classes the averages are over."""
    from isotune.reports.numbers import count

    occurring = count(int(result.occur.sum()), "class", "classes")
    present = count(int(result.have_images.sum()), "class", "classes")
    others = "balanced accuracy" if result.thresholds is None else "mAP"
    return (
        f"Macro averages are over {occurring} among labels or predictions, {others} and ROC AUC"
        f" over {present} with images."
    )


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None

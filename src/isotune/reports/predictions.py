"""A figure of predictions: right ones titled in blue, wrong ones in red."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isotune.experiment.result import Run
from isotune.reports.drawing import check_matplotlib, write_figure
from isotune.reports.examples import Example, examples
from isotune.reports.grid import grid
from isotune.reports.numbers import count as counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show_predictions(run: Run, count: int = 16, split: str | None = None) -> Figure:
    """Returns a figure of predictions for pictures taken evenly from a split.

    Args:
        run: whose model predicts.
        count: how many pictures, if there are as many.
        split: the split's name; None takes the validation split.

    Raises:
        IsotuneError: matplotlib is not installed.
        DatasetError: the split's pictures are missing or broken.
    """
    check_matplotlib()
    shown = examples(run, count, split)
    return prediction_figure(shown, run.spec.name, split or run.spec.dataset.splits.val)


def picture_predictions(
    run: Run, path: str | Path, count: int = 16, split: str | None = None
) -> Path:
    """Writes the figure of :func:`show_predictions`; an older file is replaced.

    Returns:
        The file's path.
    """
    return write_figure(show_predictions(run, count, split), path)


def prediction_figure(examples: Sequence[Example], name: str, split: str) -> Figure:
    """Returns a figure of pictures titled with their predicted classes and probabilities.

    Args:
        examples: the pictures.
        name: the experiment's name.
        split: the split's name.
    """
    right = sum(example.right for example in examples)
    detail = f"{split}: {right} of {counted(len(examples), 'picture')} right (blue)"
    if right < len(examples):
        detail += f", {len(examples) - right} wrong (red)"
    return grid([example.tile() for example in examples], f"{name}: predictions", detail)

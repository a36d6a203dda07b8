"""A figure of predictions: correct ones in blue, wrong ones in red."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isotune.reports.examples import Example
from isotune.reports.grid import grid
from isotune.reports.numbers import count as counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def prediction_figure(examples: Sequence[Example], name: str, split: str) -> Figure:
    """Returns a figure of images with their predicted classes and probabilities.

    Args:
        examples: the images.
        name: the experiment's name.
        split: the split's name.
    """
    correct = sum(example.correct for example in examples)
    detail = f"{split}: {correct} of {counted(len(examples), 'image')} correct (blue)"
    if correct < len(examples):
        detail += f", {len(examples) - correct} wrong (red)"
    return grid([example.tile() for example in examples], f"{name}: predictions", detail)

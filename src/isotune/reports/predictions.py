"""A figure of predictions: correct ones in blue, wrong ones in red."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isotune.reports.examples import Example, images_of
from isotune.reports.grid import grid
from isotune.reports.numbers import count as counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def prediction_figure(
    examples: Sequence[Example], name: str, split: str, flip: bool = False
) -> Figure:
    """Returns a figure of images with their predicted classes and probabilities.

    Args:
        examples: the images.
        name: the experiment's name.
        split: the split's name.
        flip: whether predictions are averaged with those of mirror images.
    """
    correct = sum(example.correct for example in examples)
    images = counted(len(examples), "image")
    detail = f"{images_of(split, flip)}: {correct} of {images} correct (blue)"
    if correct < len(examples):
        detail += f", {len(examples) - correct} wrong (red)"
    return grid([example.tile() for example in examples], f"{name}: predictions", detail)

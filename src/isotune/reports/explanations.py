"""A figure of explanations: each image as the network saw it, and the heat drawn over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isotune.explaining.explanation import Explanation
from isotune.reports.drawing import INK
from isotune.reports.examples import Example
from isotune.reports.grid import GAP, SIDE, Tile, grid, path_note
from isotune.reports.numbers import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 2 * SIDE + GAP / 2
"""Width of the space for an image and its explanation, in inches."""

WHITE = 255


def explanation_figure(
    explanations: Sequence[Explanation], name: str, labels: Sequence[str] | None = None
) -> Figure:
    """Returns a figure of explanations with the predictions, each with the end of its path.

    Args:
        explanations: the explanations, all by one method.
        name: the experiment's name.
        labels: the name of each image's true class, or None if they are not known.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    known: Sequence[str | None] = labels or [None] * len(explanations)
    tiles = [_tile(each, label) for each, label in zip(explanations, known, strict=True)]
    return grid(tiles, f"{name}: explanations", described(explanations), WIDTH)


def side_by_side(explanation: Explanation) -> NDArray[np.uint8]:
    """Returns the image and its overlay: uint8, shape (H, W, 3)."""
    height, width, _ = explanation.image.shape
    between = np.full((height, max(round(width * GAP / 2 / SIDE), 1), 3), WHITE, np.uint8)
    return np.concatenate([explanation.image, between, explanation.overlay()], axis=1)


def described(explanations: Sequence[Explanation]) -> str:
    """Returns what explanations by one method show, in a line."""
    if not explanations:
        return "no image"
    first = explanations[0]
    if first.explained is None:
        what = f"{first.method}: bright is what the network looks at"
    else:
        classes = {each.explained for each in explanations}
        named = all(each.explained == each.predicted for each in explanations)
        subject = "the prediction" if named or len(classes) > 1 else first.explained
        what = f"{first.method} at {first.stage}: bright is what speaks for {subject}"
    return f"{what}; images as the network sees them, after the validation transforms"


def _tile(explanation: Explanation, label: str | None) -> Tile:
    note, image = path_note(explanation.identity), side_by_side(explanation)
    predicted, probability = explanation.predicted, explanation.probability
    if label is not None:
        return Example(image, label, predicted, probability).tile(note)
    return Tile(image, f"{predicted} {percent(probability)}", INK, note)

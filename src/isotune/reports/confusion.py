"""The figure of a confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isotune.printable import printable, shortened
from isotune.reports.drawing import (
    FAINT,
    HEADING,
    INK,
    POINTS,
    RULE,
    new_figure,
    styled,
    text_width,
)
from isotune.reports.examples import images_of
from isotune.reports.numbers import count as counted
from isotune.reports.numbers import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 100
"""Maximum number of classes with numbers in cells; with more, there is only color."""

SIDE = 8.0
"""Side of the matrix, in inches (as all lengths here), within the limits of a cell's side."""

SMALLEST, LARGEST = 0.31, 0.85
"""Limits of the side of a cell with numbers."""

UNNUMBERED_SIDE = 12.0
"""Side of a matrix without numbers."""

MARGIN, HEAD, AXIS = 0.25, 0.7, 0.42
"""Space around everything; for the heading; for the name and ticks of an axis."""

SMALLEST_TYPE, LARGEST_TYPE = 5.5, 9.0
"""Limits of the type size of class names, in points."""

LONGEST_NAME = 80
"""Number of characters of a class name that are shown."""


def confusion_figure(
    matrix: NDArray[np.int64], classes: Sequence[str], name: str, split: str, flip: bool = False
) -> Figure:
    """Returns a figure of a confusion matrix: counts, and shares of rows as numbers and color.

    Args:
        matrix: int64, shape (classes, classes); a row is a true class.
        classes: Class names, in label order.
        name: Name of the experiment.
        split: Name of the split.
        flip: Whether predictions are averaged with those of mirror images.
    """
    accuracy = float(np.trace(matrix) / max(matrix.sum(), 1))
    images = counted(int(matrix.sum()), "image")
    detail = f"{images_of(split, flip)}: {percent(accuracy, 2)} of {images} correct"
    names = [shortened(printable(each), LONGEST_NAME) for each in classes]
    with styled():
        return _draw(matrix, names, f"{printable(name)}: confusion matrix", printable(detail))


@dataclass(frozen=True)
class _Layout:
    """Geometry of a matrix of the classes `names`.

    Attributes:
        names: Class names, in label order.
        cell: Side of a cell, in inches.
        type_size: Type size of class names, in points.
        every: One in so many classes is named, so that names do not overlap.
        rotation: Rotation of the names below the matrix, in degrees.
    """

    names: Sequence[str]
    cell: float
    type_size: float
    every: int
    rotation: int

    @property
    def side(self) -> float:
        return self.cell * len(self.names)

    @property
    def named(self) -> range:
        return range(0, len(self.names), self.every)

    @property
    def longest(self) -> float:
        """Length of the longest name, in inches."""
        widths = [text_width(self.names[index], self.type_size) for index in self.named]
        return max(widths) / POINTS

    @property
    def left(self) -> float:
        return MARGIN + AXIS + self.longest

    @property
    def bottom(self) -> float:
        line = self.type_size / POINTS
        return MARGIN + AXIS + line + self.longest * math.sin(math.radians(self.rotation))


def _layout(names: Sequence[str]) -> _Layout:
    if len(names) > NUMBERED:
        cell = UNNUMBERED_SIDE / len(names)
    else:
        cell = min(max(SIDE / len(names), SMALLEST), LARGEST)
    type_size = min(max(cell * POINTS * 0.8, SMALLEST_TYPE), LARGEST_TYPE)
    every = math.ceil(1.1 * type_size / (cell * POINTS))
    fits = all(text_width(name, type_size) < cell * POINTS for name in names)
    rotation = 0 if fits else 45 if len(names) <= 30 else 90
    return _Layout(names, cell, type_size, every, rotation)


def _draw(matrix: NDArray[np.int64], classes: Sequence[str], heading: str, detail: str) -> Figure:
    from matplotlib.colors import PowerNorm

    layout = _layout(classes)
    side, left, bottom = layout.side, layout.left, layout.bottom
    words = max(text_width(heading, HEADING, bold=True), text_width(detail, 9)) / POINTS
    width = max(left + side, MARGIN + words) + MARGIN
    height = bottom + side + HEAD + MARGIN
    figure = new_figure(width, height)
    start, top = MARGIN / width, 1 - MARGIN / height
    figure.text(start, top, heading, va="top", fontsize=HEADING, fontweight="bold")
    figure.text(start, top - 0.24 / height, detail, va="top", fontsize=9, color=FAINT)
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    with np.errstate(invalid="ignore"):
        shares = matrix / matrix.sum(axis=1, keepdims=True)  # NaN: no image of a class
    numbered = len(classes) <= NUMBERED
    # Without numbers small shares, which most confusions are, would not be seen.
    scale = PowerNorm(1 if numbered else 0.5, vmin=0, vmax=1)
    axes.imshow(shares, cmap="Blues", norm=scale, interpolation="nearest")
    _name(axes, layout)
    if numbered:
        _number(axes, matrix, shares, layout.cell * POINTS)
    return figure


def _name(axes: Axes, layout: _Layout) -> None:
    """Names the classes along both axes."""
    names = [layout.names[index] for index in layout.named]
    below: dict[str, Any] = {}
    if layout.rotation:
        below = {"rotation": layout.rotation, "rotation_mode": "anchor", "ha": "right"}
        below["va"] = "center"
    axes.set_xticks(layout.named, names, fontsize=layout.type_size, color=INK, **below)
    axes.set_yticks(layout.named, names, fontsize=layout.type_size, color=INK)
    axes.set_xlabel("predicted class", color=FAINT)
    axes.set_ylabel("true class", color=FAINT)
    axes.tick_params(length=0, pad=4)
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(RULE)


def _number(
    axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64], cell: float
) -> None:
    """Writes counts and row percentages into the cells, whose sides are `cell` points."""
    few = len(matrix) <= 10
    for row, column in np.ndindex(matrix.shape):
        number, share = int(matrix[row, column]), float(shares[row, column])
        if not number and not few:
            continue  # among many classes nearly all cells are 0
        color = "white" if share > 0.55 else INK if number else FAINT
        place: dict[str, Any] = {"ha": "center", "va": "center", "color": color}
        axes.text(column, row - 0.14, str(number), fontsize=min(11, 0.32 * cell), **place)
        if number:
            text = percent(share, 1 if few else 0)
            axes.text(column, row + 0.24, text, fontsize=min(8, 0.23 * cell), **place)

"""A figure with a grid of images, whose titles and notes never overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isotune.reports.drawing import FAINT, HEADING, INK, POINTS, new_figure, styled, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

SIDE = 1.75
"""Side of the square for an image, in inches like all lengths here."""

GAP, MARGIN = 0.16, 0.2
LINE = 1.25
"""Height of a line relative to its font size."""

TITLE, NOTE = 9.0, 6.5
"""Font sizes, in points."""

MAX_PIXELS = 384
"""Largest number of pixels on an image's longer side."""


@dataclass(frozen=True)
class Tile:
    """An image in the grid.

    Attributes:
        image: uint8, shape (height, width, 3), RGB, of any size.
        title: text above it, in `color`.
        note: small text below it.
    """

    image: NDArray[np.uint8]
    title: str
    color: str = INK
    note: str = ""


def small(image: Image.Image) -> NDArray[np.uint8]:
    """Returns an RGB image reduced for a figure: uint8, shape (height, width, 3)."""
    copy = image.copy()
    copy.thumbnail((MAX_PIXELS, MAX_PIXELS))
    return np.asarray(copy)


def grid(tiles: Sequence[Tile], heading: str, detail: str) -> Figure:
    """Returns a figure of images in rows.

    Args:
        tiles: the images.
        heading: the figure's title.
        detail: text below the title.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    with styled():
        return _grid(tiles, heading, detail)


def column_count(images: int) -> int:
    """Returns the number of images per row: about the number of rows, and full rows if possible."""
    columns = math.ceil(math.sqrt(images)) or 1
    return next((n for n in (columns, columns + 1) if images % n == 0), columns)


def _grid(tiles: Sequence[Tile], heading: str, detail: str) -> Figure:
    columns = column_count(len(tiles))
    titles = [wrap(tile.title, SIDE * POINTS, TITLE) for tile in tiles]
    notes = [wrap(tile.note, SIDE * POINTS, NOTE) for tile in tiles]
    rows = [slice(start, start + columns) for start in range(0, len(tiles), columns)]
    sides = [max(map(_drawn_height, tiles[row])) for row in rows]
    above = [_height(titles[row], TITLE) for row in rows]
    below = [_height(notes[row], NOTE) for row in rows]
    row_width = columns * SIDE + (columns - 1) * GAP
    inner = max(row_width, 2 * SIDE + GAP)
    heading = wrap(heading, inner * POINTS, HEADING, bold=True)
    detail = wrap(detail, inner * POINTS, TITLE)
    head = _height([heading], HEADING) + _height([detail], TITLE) + GAP
    height = head + sum(above) + sum(below) + sum(sides) + len(rows) * GAP + 2 * MARGIN - GAP
    figure = new_figure(inner + 2 * MARGIN, height)
    _write_head(figure, heading, detail)
    top = height - MARGIN - head
    for row, title_height, side, note_height in zip(rows, above, sides, below, strict=True):
        top -= title_height
        left = MARGIN + (inner - row_width) / 2
        for tile, title, note in zip(tiles[row], titles[row], notes[row], strict=True):
            _draw(figure, (left, top - SIDE), tile, title, note)
            left += SIDE + GAP
        top -= side + note_height + GAP
    return figure


def _height(texts: Sequence[str], size: float) -> float:
    lines = max(text.count("\n") + 1 if text else 0 for text in texts)
    return (lines * size * LINE + (4 if lines else 0)) / POINTS


def _drawn_height(tile: Tile) -> float:
    height, width = tile.image.shape[:2]
    return SIDE * min(1, height / width)


def _write_head(figure: Figure, heading: str, detail: str) -> None:
    width, height = figure.get_size_inches()
    left, top = MARGIN / width, height - MARGIN
    common: dict[str, Any] = {"va": "top", "linespacing": LINE}
    figure.text(left, top / height, heading, fontsize=HEADING, fontweight="bold", **common)
    below = (top - _height([heading], HEADING)) / height
    figure.text(left, below, detail, fontsize=TITLE, color=FAINT, **common)


def _draw(figure: Figure, corner: tuple[float, float], tile: Tile, title: str, note: str) -> None:
    width, height = figure.get_size_inches()
    bounds = (corner[0] / width, corner[1] / height, SIDE / width, SIDE / height)
    axes = figure.add_axes(bounds, anchor="N")
    axes.imshow(tile.image, interpolation="antialiased")
    axes.set_axis_off()
    axes.set_title(
        title, color=tile.color, fontsize=TITLE, fontweight="normal", loc="center", pad=3,
        linespacing=LINE - 0.1,
    )  # fmt: skip
    if note:
        axes.annotate(
            note, (0.5, 0), (0, -3), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="top", fontsize=NOTE, color=FAINT,
        )  # fmt: skip

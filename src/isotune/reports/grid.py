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
"""Height of the space for an image, and usually its width, in inches like all lengths here."""

GAP, MARGIN = 0.16, 0.2
LINE = 1.25
"""Height of a line relative to its font size."""

TITLE, NOTE = 9.0, 6.5
"""Font sizes, in points."""

NOTE_LENGTH = 90
"""Largest number of characters of a path in an image's note, from its end."""

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


def path_note(identity: str) -> str:
    """Returns the end of a path, for the note of an image."""
    return identity if len(identity) <= NOTE_LENGTH else f"…{identity[1 - NOTE_LENGTH :]}"


def grid(tiles: Sequence[Tile], heading: str, detail: str, width: float = SIDE) -> Figure:
    """Returns a figure of images in rows.

    Args:
        tiles: the images.
        heading: the figure's title.
        detail: text below the title.
        width: width of the space for an image.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    with styled():
        return _grid(tiles, heading, detail, width)


def column_count(images: int, width: float = SIDE) -> int:
    """Returns the number of images per row: about a square, and full rows if possible.

    Args:
        images: number of images.
        width: width of the space for an image.
    """
    columns = math.ceil(math.sqrt(images * SIDE / width)) or 1
    return next((n for n in (columns, columns + 1) if images % n == 0), columns)


def _grid(tiles: Sequence[Tile], heading: str, detail: str, width: float) -> Figure:
    columns = column_count(len(tiles), width)
    titles = [wrap(tile.title, width * POINTS, TITLE) for tile in tiles]
    notes = [wrap(tile.note, width * POINTS, NOTE) for tile in tiles]
    rows = [slice(start, start + columns) for start in range(0, len(tiles), columns)]
    sides = [max(_drawn_height(tile, width) for tile in tiles[row]) for row in rows]
    above = [_height(titles[row], TITLE) for row in rows]
    below = [_height(notes[row], NOTE) for row in rows]
    row_width = columns * width + (columns - 1) * GAP
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
            _draw(figure, (left, top - SIDE, width), tile, title, note)
            left += width + GAP
        top -= side + note_height + GAP
    return figure


def _height(texts: Sequence[str], size: float) -> float:
    lines = max(text.count("\n") + 1 if text else 0 for text in texts)
    return (lines * size * LINE + (4 if lines else 0)) / POINTS


def _drawn_height(tile: Tile, width: float) -> float:
    rows, columns = tile.image.shape[:2]
    return min(SIDE, width * rows / columns)


def _write_head(figure: Figure, heading: str, detail: str) -> None:
    width, height = figure.get_size_inches()
    left, top = MARGIN / width, height - MARGIN
    common: dict[str, Any] = {"va": "top", "linespacing": LINE}
    figure.text(left, top / height, heading, fontsize=HEADING, fontweight="bold", **common)
    below = (top - _height([heading], HEADING)) / height
    figure.text(left, below, detail, fontsize=TITLE, color=FAINT, **common)


def _draw(
    figure: Figure, place: tuple[float, float, float], tile: Tile, title: str, note: str
) -> None:
    width, height = figure.get_size_inches()
    left, bottom, tile_width = place
    bounds = (left / width, bottom / height, tile_width / width, SIDE / height)
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

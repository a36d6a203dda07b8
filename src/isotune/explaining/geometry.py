"""Where on an image the values of a network's layers belong."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]


def rows_and_columns(places: int, height: int, width: int) -> tuple[int, int] | None:
    """Returns the grid of so many places that divides an image into squares, or None."""
    rows = round(math.sqrt(places * height / width))
    columns = places // rows if rows else 0
    fits = rows * columns == places and rows * width == columns * height
    return (rows, columns) if fits and places else None


def by_place(values: Floats, height: int, width: int) -> Floats | None:
    """Returns a layer's output with its channels last, without a class token.

    Args:
        values: float32, shape (N, channels, rows, columns), (N, rows, columns, channels) as in a
            Swin Transformer, or (N, places, channels) as in a ViT, where the class token's place
            may come first. Rows and columns are the axes whose proportions are the image's.
        height: Height of the images, in pixels.
        width: Width of the images, in pixels.

    Returns:
        float32, shape (N, rows, columns, channels), or None for an output that has no places.
    """
    if values.ndim == 4:
        _, first, second, third = values.shape
        last = _distortion(first, second, height, width) < _distortion(second, third, height, width)
        return values if last else values.transpose(0, 2, 3, 1)
    if values.ndim == 3:
        for extra in (1, 0):
            if grid := rows_and_columns(values.shape[1] - extra, height, width):
                return values[:, extra:].reshape(len(values), *grid, -1)
    return None


def _distortion(rows: int, columns: int, height: int, width: int) -> float:
    return abs(math.log(rows * width / (columns * height)))


def enlarged(heat: NDArray[np.float64], height: int, width: int) -> Floats:
    """Returns a map in the size of the image, by bilinear interpolation, scaled to [0, 1].

    Args:
        heat: float64, shape (rows, columns), at least 0.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.

    Returns:
        float32, shape (height, width). Its largest value is 1, unless all of `heat` is 0.
    """
    # Scaled before too: gradients may be so small that float32 would lose them.
    scaled = (heat / (heat.max() or 1)).astype(np.float32)
    resized = Image.fromarray(scaled).resize((width, height), Image.Resampling.BILINEAR)
    large = np.array(resized, np.float32)
    return np.clip(large / (large.max() or np.float32(1)), 0, 1)

"""Transforms in two halves: draw the numbers, then apply an operation that holds them.

All numbers come from ``Generator.random()``: uniform doubles in [0, 1), which NumPy keeps the
same from version to version where other methods may change. Distributions are torchvision's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from isotune.data.transforms import geometry
from isotune.data.transforms.color import ColorJitter
from isotune.errors import DatasetError
from isotune.spec.transforms import (
    CenterCropSpec,
    ColorJitterSpec,
    RandomCropSpec,
    RandomHorizontalFlipSpec,
    RandomResizedCropSpec,
    RandomVerticalFlipSpec,
    ResizeSpec,
    RotationSpec,
    TransformSpec,
)

if TYPE_CHECKING:
    from PIL import Image

TRIES = 10
"""Windows that ``random_resized_crop`` draws before it takes one in the middle."""


class Operation(Protocol):
    """A transform with its numbers drawn."""

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the transformed RGB image; the given one stays as it was."""


def transform(
    image: Image.Image, pipeline: Sequence[TransformSpec], rng: np.random.Generator | None
) -> Image.Image:
    """Draws and applies a pipeline's transforms, all from one stream.

    Args:
        image: an RGB image; it stays as it was.
        pipeline: the transforms, in order.
        rng: the image's stream; may be None where no transform is random.

    Raises:
        DatasetError: the image is too small for a transform.
    """
    for spec in pipeline:
        image = draw(spec, rng, image.size).apply(image)
    return image


def fixed_part(pipeline: Sequence[TransformSpec]) -> int:
    """Returns how many transforms there are before the first one that draws numbers."""
    return next((i for i, spec in enumerate(pipeline) if spec.random), len(pipeline))


def draw(spec: TransformSpec, rng: np.random.Generator | None, size: tuple[int, int]) -> Operation:
    """Draws a transform's numbers for an image of `size` = (width, height), in pixels.

    Raises:
        DatasetError: the image is too small for the transform.
    """
    if isinstance(spec, ResizeSpec):
        return geometry.resize(spec, *size)
    if isinstance(spec, CenterCropSpec):
        return geometry.center_crop(spec, *size)
    assert rng is not None, "a random transform needs a stream"
    if isinstance(spec, RandomResizedCropSpec):
        return _random_resized_crop(spec, rng, *size)
    if isinstance(spec, RandomCropSpec):
        return _random_crop(spec, rng, *size)
    if isinstance(spec, RandomHorizontalFlipSpec):
        return geometry.Flip(horizontal=True, flipped=rng.random() < spec.p)
    if isinstance(spec, RandomVerticalFlipSpec):
        return geometry.Flip(horizontal=False, flipped=rng.random() < spec.p)
    if isinstance(spec, ColorJitterSpec):
        return _color_jitter(spec, rng)
    assert isinstance(spec, RotationSpec)
    return _rotation(spec, rng)


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _below(rng: np.random.Generator, end: int) -> int:
    return int(rng.random() * end)


def _random_resized_crop(
    spec: RandomResizedCropSpec, rng: np.random.Generator, width: int, height: int
) -> geometry.ResizedCrop:
    rows, columns = spec.output()
    return geometry.ResizedCrop(
        _random_window(spec, rng, width, height),
        geometry.Resize(columns, rows, spec.interpolation),
    )


def _random_window(
    spec: RandomResizedCropSpec, rng: np.random.Generator, width: int, height: int
) -> geometry.Crop:
    """Draws a window uniform in area and log-uniform in shape."""
    low, high = (math.log(ratio) for ratio in spec.ratio)
    for _ in range(TRIES):
        area = width * height * _uniform(rng, *spec.scale)
        ratio = math.exp(_uniform(rng, low, high))
        columns, rows = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < columns <= width and 0 < rows <= height:
            top, left = _below(rng, height - rows + 1), _below(rng, width - columns + 1)
            return geometry.Crop(top, left, rows, columns)
    return middle_window(spec.ratio, width, height)


def middle_window(ratio: tuple[float, float], width: int, height: int) -> geometry.Crop:
    """Returns the largest window in the middle whose width over height is within `ratio`."""
    columns, rows = width, height
    if width / height < ratio[0]:
        rows = round(width / ratio[0])
    elif width / height > ratio[1]:
        columns = round(height * ratio[1])
    return geometry.Crop((height - rows) // 2, (width - columns) // 2, rows, columns)


def _random_crop(
    spec: RandomCropSpec, rng: np.random.Generator, width: int, height: int
) -> geometry.PaddedCrop:
    rows, columns = spec.output()
    borders = [_borders(spec.padding)]
    width += borders[0][0] + borders[0][2]
    height += borders[0][1] + borders[0][3]
    if spec.pad_if_needed and width < columns:
        borders.append((columns - width, 0, columns - width, 0))
        width += 2 * (columns - width)
    if spec.pad_if_needed and height < rows:
        borders.append((0, rows - height, 0, rows - height))
        height += 2 * (rows - height)
    if width < columns or height < rows:
        raise DatasetError(
            f"an image of {width} x {height} pixels is too small for random_crop to"
            f" {columns} x {rows}: set pad_if_needed, more padding, or resize before."
        )
    top, left = _below(rng, height - rows + 1), _below(rng, width - columns + 1)
    return _padded_crop(spec, borders, geometry.Crop(top, left, rows, columns))


def _borders(padding: int | tuple[int, ...]) -> tuple[int, int, int, int]:
    """Returns left, top, right, bottom."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    left, top = padding[0], padding[1]
    return (left, top, left, top) if len(padding) == 2 else (left, top, padding[2], padding[3])


def _padded_crop(
    spec: RandomCropSpec, borders: list[tuple[int, int, int, int]], window: geometry.Crop
) -> geometry.PaddedCrop:
    fill = (spec.fill,) * 3 if isinstance(spec.fill, int) else spec.fill
    if spec.padding_mode == "constant" and fill == (0, 0, 0):
        # A crop fills with black by itself, so nothing needs to be copied for the borders.
        left, top = (sum(border[side] for border in borders) for side in (0, 1))
        inside = geometry.Crop(window.top - top, window.left - left, window.height, window.width)
        return geometry.PaddedCrop((), inside)
    pads = (geometry.Pad(*border, spec.padding_mode, fill) for border in borders if any(border))
    return geometry.PaddedCrop(tuple(pads), window)


def _color_jitter(spec: ColorJitterSpec, rng: np.random.Generator) -> ColorJitter:
    order = list(range(4))
    for last in (3, 2, 1):  # Fisher-Yates
        other = _below(rng, last + 1)
        order[last], order[other] = order[other], order[last]

    def factor(jitter: float | tuple[float, float], center: float) -> float | None:
        if isinstance(jitter, tuple):
            low, high = jitter
        else:
            low, high = center - jitter, center + jitter
            low = max(low, 0.0) if center else low
        return None if low == high == center else _uniform(rng, low, high)

    return ColorJitter(
        tuple(order),
        factor(spec.brightness, 1.0),
        factor(spec.contrast, 1.0),
        factor(spec.saturation, 1.0),
        factor(spec.hue, 0.0),
    )


def _rotation(spec: RotationSpec, rng: np.random.Generator) -> geometry.Rotate:
    low, high = spec.degrees if isinstance(spec.degrees, tuple) else (-spec.degrees, spec.degrees)
    fill = (spec.fill,) * 3 if isinstance(spec.fill, int) else spec.fill
    return geometry.Rotate(_uniform(rng, low, high), spec.interpolation, spec.expand, fill)

"""The random crop that is resized: a window of random area and shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.data.transforms.crop import Crop, FixedSizeSpec
from isotune.data.transforms.resize import Resize
from isotune.randomness import below, uniform
from isotune.spec.transform_options import Areas, Interpolation, Ratios

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

TRIES = 10
"""Number of windows drawn before one in the middle is taken, as in torchvision."""


@dataclass(frozen=True)
class ResizedCrop:
    """Cuts out a window and resizes it.

    Not ``Image.resize(box=...)``: at the window's edge that reads pixels outside the window.
    """

    window: Crop
    resize: Resize

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the resized window."""
        return self.resize.apply(self.window.apply(image))


class RandomResizedCropSpec(FixedSizeSpec):
    """torchvision's ``RandomResizedCrop``: a window of random area and shape, resized.

    Attributes:
        size: Pixels of a square's side, or [height, width], after resizing.
        scale: Bounds of the window's area, as shares of the image's area.
        ratio: Bounds of the window's width over its height.
        interpolation: The filter.
    """

    name: Literal["random_resized_crop"] = "random_resized_crop"
    scale: Areas = (0.08, 1.0)
    ratio: Ratios = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bilinear"

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> ResizedCrop:
        """Draws the window."""
        rows, columns = self.output()
        return ResizedCrop(self._window(rng, *size), Resize(columns, rows, self.interpolation))

    def _window(self, rng: np.random.Generator, width: int, height: int) -> Crop:
        """Draws a window uniform in area and log-uniform in shape."""
        low, high = (math.log(ratio) for ratio in self.ratio)
        for _ in range(TRIES):
            area = width * height * uniform(rng, *self.scale)
            ratio = math.exp(uniform(rng, low, high))
            columns, rows = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < columns <= width and 0 < rows <= height:
                top, left = below(rng, height - rows + 1), below(rng, width - columns + 1)
                return Crop(top, left, rows, columns)
        return middle_window(self.ratio, width, height)


def middle_window(ratio: tuple[float, float], width: int, height: int) -> Crop:
    """Returns the largest window in the middle whose width over height is within `ratio`."""
    columns, rows = width, height
    if width / height < ratio[0]:
        rows = round(width / ratio[0])
    elif width / height > ratio[1]:
        columns = round(height * ratio[1])
    return Crop((height - rows) // 2, (width - columns) // 2, rows, columns)

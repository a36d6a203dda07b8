"""Crops: windows of a fixed size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.spec.transform_options import Size
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class Crop:
    """Cuts out a window; what lies outside the image is black."""

    top: int
    left: int
    height: int
    width: int

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the window."""
        if (self.left, self.top, self.width, self.height) == (0, 0, *image.size):
            return image
        return image.crop((self.left, self.top, self.left + self.width, self.top + self.height))


class FixedSizeSpec(TransformSpec):
    """A transform that ends in a fixed size.

    Attributes:
        size: Pixels of a square's side, or [height, width].
    """

    main = "size"
    size: Size

    def output(self, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """Returns (height, width) after the transform."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


class CenterCropSpec(FixedSizeSpec):
    """torchvision's ``CenterCrop``; an image that is too small gets a black border.

    Attributes:
        size: Pixels of a square's side, or [height, width].
    """

    random = False
    name: Literal["center_crop"] = "center_crop"

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Crop:
        """Returns the operation for an image of `size` = (width, height).

        Odd differences are rounded to the even pixel; if an image is too small, the border at
        the top and left is the thinner one.
        """
        (width, height), (rows, columns) = size, self.output()
        return Crop(_center(height, rows), _center(width, columns), rows, columns)


def _center(length: int, crop: int) -> int:
    return -((crop - length) // 2) if crop > length else round((length - crop) / 2)

"""Resizing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from isotune.spec.transform_options import Interpolation, MaxSize, Size
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class Resize:
    """Resizes to exactly (width, height)."""

    width: int
    height: int
    interpolation: str

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image resized, antialiased."""
        size = (self.width, self.height)
        return image if image.size == size else image.resize(size, resampling(self.interpolation))


def resampling(name: str) -> Image.Resampling:
    """Returns Pillow's filter of an `interpolation` option."""
    from PIL.Image import Resampling

    return Resampling[name.upper()]


class ResizeSpec(TransformSpec):
    """torchvision's ``Resize``, always antialiased.

    Attributes:
        size: A number for the shorter side, which keeps the shape; or [height, width].
        interpolation: The filter.
        max_size: Upper bound on the longer side, when `size` is one number.
    """

    main = "size"
    random = False
    name: Literal["resize"] = "resize"
    size: Size
    interpolation: Interpolation = "bilinear"
    max_size: MaxSize = None

    @model_validator(mode="after")
    def _max_size_bounds_the_longer_side(self) -> ResizeSpec:
        if self.max_size is not None and not isinstance(self.size, int):
            raise ValueError("max_size goes with a size that is one number, not [height, width]")
        if isinstance(self.size, int) and self.max_size is not None and self.max_size <= self.size:
            raise ValueError(f"max_size {self.max_size} must be above size {self.size}")
        return self

    def output(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Returns (height, width) after the transform; fractions of a pixel are cut off."""
        if not isinstance(self.size, int):
            return self.size
        return None if size is None else self._by_shorter_side(self.size, size)

    def _by_shorter_side(self, short: int, size: tuple[int, int]) -> tuple[int, int]:
        long = int(short * max(size) / min(size))
        if self.max_size is not None and long > self.max_size:
            short, long = max(int(self.max_size * short / long), 1), self.max_size
        return (long, short) if size[1] <= size[0] else (short, long)

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Resize:
        """Returns the operation for an image of `size` = (width, height)."""
        width, height = size
        fixed = self.size
        if isinstance(fixed, int):
            fixed = self._by_shorter_side(fixed, (height, width))
        return Resize(fixed[1], fixed[0], self.interpolation)

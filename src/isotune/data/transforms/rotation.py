"""Random rotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.data.transforms.resize import resampling
from isotune.randomness import uniform
from isotune.spec.transform_options import Degrees, Fill, WarpInterpolation, between, rgb
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class Rotate:
    """Rotates the image about its center.

    Attributes:
        angle: In degrees, counter-clockwise.
        expand: Whether the result grows until it holds the whole image.
        fill: Red, green and blue of the uncovered corners, 0 to 255.
    """

    angle: float
    interpolation: str
    expand: bool
    fill: tuple[int, int, int]

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the rotated image."""
        return image.rotate(
            self.angle, resampling(self.interpolation), self.expand, fillcolor=self.fill
        )


class RotationSpec(TransformSpec):
    """torchvision's ``RandomRotation``: counter-clockwise about the center.

    Attributes:
        degrees: Bounds of the angle; one number stands for [-number, number].
        interpolation: The filter.
        expand: Whether the result grows until it holds the whole image.
        fill: Level, or red, green and blue, of the uncovered corners.
    """

    main = "degrees"
    name: Literal["rotation"] = "rotation"
    degrees: Degrees
    interpolation: WarpInterpolation = "nearest"
    expand: bool = False
    fill: Fill = 0

    def output(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Returns (height, width) after the transform, or None if it expands."""
        return None if self.expand else size

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Rotate:
        """Draws the angle."""
        angle = uniform(rng, *between(self.degrees))
        return Rotate(angle, self.interpolation, self.expand, rgb(self.fill))

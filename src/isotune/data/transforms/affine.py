"""Random affine maps."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, tan
from typing import TYPE_CHECKING, Literal

from isotune.data.transforms.resize import resampling
from isotune.randomness import uniform
from isotune.spec.transform_options import (
    Degrees,
    Factors,
    Fill,
    Shear,
    Translation,
    WarpInterpolation,
    between,
    rgb,
)
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class Affine:
    """Rotates, shears and scales the image about its center, then moves it.

    Attributes:
        angle: In degrees, clockwise.
        translate: Pixels to the right and down.
        scale: Factor above 0.
        shear: Degrees along the x axis and along the y axis.
        fill: Red, green and blue of what is uncovered, 0 to 255.
        center: (x, y) of the fixed point, in pixels; None for the image's center.
    """

    angle: float = 0.0
    translate: tuple[float, float] = (0, 0)
    scale: float = 1.0
    shear: tuple[float, float] = (0.0, 0.0)
    interpolation: str = "nearest"
    fill: tuple[int, int, int] = (0, 0, 0)
    center: tuple[float, float] | None = None

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the changed image, which keeps its size."""
        from PIL.Image import Transform

        return image.transform(
            image.size,
            Transform.AFFINE,
            self._inverse(*image.size),
            resampling(self.interpolation),
            fillcolor=self.fill,
        )

    def _inverse(self, width: int, height: int) -> tuple[float, ...]:
        """Returns the map from a result's pixel to the image's, as Pillow wants it.

        The steps, and with them the rounding, are those of torchvision's
        ``_get_inverse_affine_matrix``.
        """
        x, y = self.center or (width * 0.5, height * 0.5)
        angle, (along_x, along_y) = radians(self.angle), map(radians, self.shear)
        a = cos(angle - along_y) / cos(along_y)
        b = -cos(angle - along_y) * tan(along_x) / cos(along_y) - sin(angle)
        c = sin(angle - along_y) / cos(along_y)
        d = -sin(angle - along_y) * tan(along_x) / cos(along_y) + cos(angle)
        a, b, c, d = (value / self.scale for value in (d, -b, -c, a))
        right, down = -x - self.translate[0], -y - self.translate[1]
        return a, b, a * right + b * down + x, c, d, c * right + d * down + y


class AffineSpec(TransformSpec):
    """torchvision's ``RandomAffine``: rotated, moved, scaled and sheared about the center.

    Attributes:
        degrees: Bounds of the angle, clockwise; one number stands for [-number, number].
        translate: Largest move to either side, as a share of the width and of the height.
        scale: Bounds of the factor.
        shear: Bounds of the angle along the x axis, or of those along both axes, in degrees; one
            number stands for [-number, number] along the x axis.
        interpolation: The filter.
        fill: Level, or red, green and blue, of what is uncovered.
    """

    main = "degrees"
    name: Literal["affine"] = "affine"
    degrees: Degrees = 0.0
    translate: Translation = 0.0
    scale: Factors = (1.0, 1.0)
    shear: Shear = 0.0
    interpolation: WarpInterpolation = "nearest"
    fill: Fill = 0

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Affine:
        """Draws angle, move, factor and shears, in this order; a move is of whole pixels."""
        shares = self.translate
        shares = shares if isinstance(shares, tuple) else (shares, shares)
        shears = self.shear if isinstance(self.shear, tuple) else between(self.shear)
        angle = uniform(rng, *between(self.degrees))
        right, down = (
            round(uniform(rng, -share * length, share * length))
            for share, length in zip(shares, size, strict=True)
        )
        scale = uniform(rng, *self.scale)
        along_x = uniform(rng, *shears[:2])
        along_y = uniform(rng, *shears[2:]) if len(shears) == 4 else 0.0
        shear = (along_x, along_y)
        return Affine(angle, (right, down), scale, shear, self.interpolation, rgb(self.fill))

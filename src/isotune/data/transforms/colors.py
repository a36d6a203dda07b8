"""Operations on colors that several transforms share, each with its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

Aspect = Literal["Brightness", "Color", "Contrast", "Sharpness"]
"""What can be enhanced, by the names of Pillow's ``ImageEnhance``."""


@dataclass(frozen=True)
class Enhance:
    """Strengthens or weakens one aspect of the image.

    Attributes:
        aspect: The aspect.
        factor: 1 leaves the image unchanged; 0 is black (brightness), grayscale (color), gray of
            the mean level (contrast) or smoothed (sharpness).
    """

    aspect: Aspect
    factor: float

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the enhanced image."""
        from PIL import ImageEnhance

        enhanced: Image.Image = getattr(ImageEnhance, self.aspect)(image).enhance(self.factor)
        return enhanced


@dataclass(frozen=True)
class Posterize:
    """Keeps the `bits` highest bits of each level, 1 to 8."""

    bits: int

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image with fewer levels."""
        from PIL import ImageOps

        return ImageOps.posterize(image, self.bits)


@dataclass(frozen=True)
class Solarize:
    """Inverts the levels that are not below `threshold`, 0 to 255."""

    threshold: float

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image with its bright levels inverted."""
        table = [level if level < self.threshold else 255 - level for level in range(256)]
        return image.point(table * 3)


@dataclass(frozen=True)
class AutoContrast:
    """Stretches each channel's levels to the range from 0 to 255."""

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image with the largest contrast."""
        from PIL import ImageOps

        return ImageOps.autocontrast(image)


@dataclass(frozen=True)
class Equalize:
    """Spreads each channel's levels so that all are about equally frequent."""

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image with flat histograms."""
        from PIL import ImageOps

        return ImageOps.equalize(image)

"""The geometric operations on images: what a transform does once its numbers are drawn.

All take and return RGB images. Positions and sizes are in pixels, origin at the top left;
results are byte for byte those of ``torchvision.transforms.functional`` on Pillow images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from isotune.spec.transforms import CenterCropSpec, ResizeSpec

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Pillow's filters by the names of a spec."""


@dataclass(frozen=True)
class Resize:
    """Resizes to exactly (width, height)."""

    width: int
    height: int
    interpolation: str

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image resized, antialiased."""
        size = (self.width, self.height)
        if image.size == size:
            return image
        return image.resize(size, RESAMPLING[self.interpolation])


@dataclass(frozen=True)
class Crop:
    """Cuts out a window; what lies outside of the image is black."""

    top: int
    left: int
    height: int
    width: int

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the window."""
        if (self.left, self.top, self.width, self.height) == (0, 0, *image.size):
            return image
        return image.crop((self.left, self.top, self.left + self.width, self.top + self.height))


@dataclass(frozen=True)
class ResizedCrop:
    """Cuts out a window and resizes it.

    Not ``Image.resize(box=...)``: at the window's edge that looks at pixels outside of it.
    """

    window: Crop
    resize: Resize

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the resized window."""
        return self.resize.apply(self.window.apply(image))


@dataclass(frozen=True)
class Pad:
    """Adds borders.

    Attributes:
        mode: ``constant`` (of color `fill`), ``edge``, ``reflect`` or ``symmetric``.
        fill: red, green and blue, 0 to 255.
    """

    left: int
    top: int
    right: int
    bottom: int
    mode: str = "constant"
    fill: tuple[int, int, int] = (0, 0, 0)

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image with its borders."""
        if self.mode == "constant":
            border = (self.left, self.top, self.right, self.bottom)
            return ImageOps.expand(image, border, self.fill)
        widths = ((self.top, self.bottom), (self.left, self.right), (0, 0))
        return Image.fromarray(np.pad(np.asarray(image), widths, self.mode))  # type: ignore[call-overload]


@dataclass(frozen=True)
class PaddedCrop:
    """Adds borders, one after the other, and cuts out a window of the result."""

    pads: tuple[Pad, ...]
    window: Crop

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the window."""
        for pad in self.pads:
            image = pad.apply(image)
        return self.window.apply(image)


@dataclass(frozen=True)
class Flip:
    """Mirrors left and right (`horizontal`) or top and bottom; or does nothing."""

    horizontal: bool
    flipped: bool

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image, mirrored if it shall be."""
        if not self.flipped:
            return image
        methods = Image.Transpose
        return image.transpose(
            methods.FLIP_LEFT_RIGHT if self.horizontal else methods.FLIP_TOP_BOTTOM
        )


@dataclass(frozen=True)
class Rotate:
    """Turns the image about its center.

    Attributes:
        angle: in degrees, counter-clockwise.
        expand: whether the result grows until it holds all of the image.
        fill: red, green and blue of the corners that come free, 0 to 255.
    """

    angle: float
    interpolation: str
    expand: bool
    fill: tuple[int, int, int]

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image turned."""
        return image.rotate(
            self.angle, RESAMPLING[self.interpolation], self.expand, fillcolor=self.fill
        )


def resize(spec: ResizeSpec, width: int, height: int) -> Resize:
    """Returns the operation of ``resize`` on an image of that size."""
    target = spec.output((height, width))
    assert target is not None  # the size before is known
    return Resize(target[1], target[0], spec.interpolation)


def center_crop(spec: CenterCropSpec, width: int, height: int) -> Crop:
    """Returns the operation of ``center_crop`` on an image of that size.

    Odd differences are rounded to the even pixel; a border of an image that is too small is
    the thinner one at the top and left.
    """
    rows, columns = spec.output()
    return Crop(_center(height, rows), _center(width, columns), rows, columns)


def _center(length: int, wanted: int) -> int:
    return -((wanted - length) // 2) if wanted > length else round((length - wanted) / 2)

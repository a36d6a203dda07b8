"""The random crop: a window anywhere in the padded image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.data.transforms.crop import Crop, FixedSizeSpec
from isotune.data.transforms.pad import Borders, Pad, borders_of
from isotune.errors import DatasetError
from isotune.randomness import below
from isotune.spec.transform_options import Fill, Padding, PaddingMode, rgb

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


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


class RandomCropSpec(FixedSizeSpec):
    """torchvision's ``RandomCrop``: a window anywhere in the padded image.

    Attributes:
        size: Pixels of a square's side, or [height, width].
        padding: Pixels added at each border before the crop.
        padding_mode: What is added: the color `fill`, or what numpy.pad does by that name.
        fill: Level, or red, green and blue, of ``constant`` padding.
        pad_if_needed: Whether an image that is too small is padded until it fits; if not, it is
            an error.
    """

    name: Literal["random_crop"] = "random_crop"
    padding: Padding = 0
    padding_mode: PaddingMode = "constant"
    fill: Fill = 0
    pad_if_needed: bool = False

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> PaddedCrop:
        """Draws the window.

        Raises:
            DatasetError: The padded image is too small.
        """
        (width, height), (rows, columns) = size, self.output()
        borders = [borders_of(self.padding)]
        width += borders[0][0] + borders[0][2]
        height += borders[0][1] + borders[0][3]
        if self.pad_if_needed and width < columns:
            borders.append((columns - width, 0, columns - width, 0))
            width += 2 * (columns - width)
        if self.pad_if_needed and height < rows:
            borders.append((0, rows - height, 0, rows - height))
            height += 2 * (rows - height)
        if width < columns or height < rows:
            raise DatasetError(
                f"an image of {width} x {height} pixels is too small for random_crop to"
                f" {columns} x {rows}: set pad_if_needed, more padding, or resize before."
            )
        top, left = below(rng, height - rows + 1), below(rng, width - columns + 1)
        return self._padded(borders, Crop(top, left, rows, columns))

    def _padded(self, borders: list[Borders], window: Crop) -> PaddedCrop:
        fill = rgb(self.fill)
        if self.padding_mode == "constant" and fill == (0, 0, 0):
            # A crop fills with black by itself, so nothing needs to be copied for the borders.
            left, top = (sum(border[side] for border in borders) for side in (0, 1))
            inside = Crop(window.top - top, window.left - left, window.height, window.width)
            return PaddedCrop((), inside)
        pads = (Pad(*border, self.padding_mode, fill) for border in borders if any(border))
        return PaddedCrop(tuple(pads), window)

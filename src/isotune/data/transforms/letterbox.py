"""The whole image in a frame of a fixed size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.data.transforms.crop import FixedSizeSpec
from isotune.data.transforms.pad import Pad
from isotune.data.transforms.resize import Resize
from isotune.spec.transform_options import Fill, Interpolation, PaddingMode, rgb

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class Letterbox:
    """Resizes the image and adds borders."""

    resize: Resize
    pad: Pad

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image in its frame."""
        return self.pad.apply(self.resize.apply(image))


class LetterboxSpec(FixedSizeSpec):
    """The whole image, resized until it fits, in the middle of a frame.

    Nothing is cut off and shapes are kept. Sizes, place and color are those of ``LetterBox`` of
    Ultralytics' YOLO, whose filter is not antialiased; resizing and padding are torchvision's.

    Attributes:
        size: Pixels of a square frame's side, or [height, width].
        fill: Level, or red, green and blue, of a ``constant`` frame.
        padding_mode: What the frame shows: the color `fill`, or what numpy.pad does by that name;
            ``edge`` repeats the image's border.
        interpolation: The filter.
        scale_up: Whether a smaller image is enlarged; if not, it gets a wider frame.
    """

    random = False
    name: Literal["letterbox"] = "letterbox"
    fill: Fill = 114
    padding_mode: PaddingMode = "constant"
    interpolation: Interpolation = "bilinear"
    scale_up: bool = True

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Letterbox:
        """Returns the operation for an image of `size` = (width, height).

        An odd pixel goes to the border at the right or bottom.
        """
        (width, height), (rows, columns) = size, self.output()
        scale = min(rows / height, columns / width)
        if not self.scale_up:
            scale = min(scale, 1.0)
        resize = Resize(
            max(round(width * scale), 1), max(round(height * scale), 1), self.interpolation
        )
        across, down = columns - resize.width, rows - resize.height
        left, top = across // 2, down // 2
        borders = (left, top, across - left, down - top)
        return Letterbox(resize, Pad(*borders, self.padding_mode, rgb(self.fill)))

"""Borders around an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.spec.transform_options import Fill, Padding, PaddingMode, rgb
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

Borders = tuple[int, int, int, int]
"""Pixels at the left, top, right and bottom."""


@dataclass(frozen=True)
class Pad:
    """Adds borders.

    Attributes:
        mode: ``constant`` (of color `fill`), ``edge``, ``reflect`` or ``symmetric``.
        fill: Red, green and blue, 0 to 255.
    """

    left: int
    top: int
    right: int
    bottom: int
    mode: str = "constant"
    fill: tuple[int, int, int] = (0, 0, 0)

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image with its borders."""
        import numpy as np
        from PIL import Image, ImageOps

        border = (self.left, self.top, self.right, self.bottom)
        if not any(border):
            return image
        if self.mode == "constant":
            return ImageOps.expand(image, border, self.fill)
        widths = ((self.top, self.bottom), (self.left, self.right), (0, 0))
        return Image.fromarray(np.pad(np.asarray(image), widths, self.mode))  # type: ignore[call-overload]


def borders_of(padding: int | tuple[int, ...]) -> Borders:
    """Returns the borders that a `padding` option stands for."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    left, top = padding[0], padding[1]
    return (left, top, left, top) if len(padding) == 2 else (left, top, padding[2], padding[3])


class PadSpec(TransformSpec):
    """torchvision's ``Pad``: adds borders.

    Attributes:
        padding: Pixels added at each border.
        fill: Level, or red, green and blue, of ``constant`` padding.
        padding_mode: What is added: the color `fill`, or what numpy.pad does by that name.
    """

    main = "padding"
    random = False
    name: Literal["pad"] = "pad"
    padding: Padding
    fill: Fill = 0
    padding_mode: PaddingMode = "constant"

    def output(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Returns (height, width) after the transform."""
        if size is None:
            return None
        left, top, right, bottom = borders_of(self.padding)
        return size[0] + top + bottom, size[1] + left + right

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Pad:
        """Returns the operation, the same for every image."""
        return Pad(*borders_of(self.padding), self.padding_mode, rgb(self.fill))

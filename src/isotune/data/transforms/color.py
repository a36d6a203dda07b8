"""The operations on colors, byte for byte those of torchvision on Pillow images."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageEnhance

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The steps of a :class:`ColorJitter`, as its `order` numbers them."""


@dataclass(frozen=True)
class ColorJitter:
    """Changes colors step by step.

    Attributes:
        order: the steps in their order.
        brightness: factor: 0 is black, 1 leaves the image as it is; None leaves the step out.
        contrast: factor: 0 is gray of the mean level.
        saturation: factor: 0 is grayscale.
        hue: shift in turns of the color wheel, -0.5 to 0.5.
    """

    order: tuple[int, ...]
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: float | None = None

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image with other colors."""
        for step in self.order:
            if step == BRIGHTNESS and self.brightness is not None:
                image = ImageEnhance.Brightness(image).enhance(self.brightness)
            elif step == CONTRAST and self.contrast is not None:
                image = ImageEnhance.Contrast(image).enhance(self.contrast)
            elif step == SATURATION and self.saturation is not None:
                image = ImageEnhance.Color(image).enhance(self.saturation)
            elif step == HUE and self.hue is not None:
                image = shift_hue(image, self.hue)
        return image


def shift_hue(image: Image.Image, turns: float) -> Image.Image:
    """Returns an RGB image with its hue shifted, in Pillow's HSV of 8 bits.

    Args:
        image: an RGB image.
        turns: -0.5 to 0.5; a turn is 255 levels, and a fraction of a level is cut off.
    """
    shift = int(turns * 255)
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")

"""Random changes of colors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.data.transforms.colors import Enhance
from isotune.randomness import below, uniform
from isotune.spec.transform_options import HueJitter, Jitter
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The steps of a :class:`ColorJitter`, as its `order` numbers them."""


@dataclass(frozen=True)
class ColorJitter:
    """Changes colors step by step; a step whose value is None is left out.

    Attributes:
        order: The steps in their order.
        brightness: Factor: 0 is black, 1 leaves the image unchanged.
        contrast: Factor: 0 is gray of the mean level.
        saturation: Factor: 0 is grayscale.
        hue: Shift in turns of the color wheel, -0.5 to 0.5.
    """

    order: tuple[int, ...]
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: float | None = None

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image with changed colors."""
        for step in self.order:
            if step == BRIGHTNESS and self.brightness is not None:
                image = Enhance("Brightness", self.brightness).apply(image)
            elif step == CONTRAST and self.contrast is not None:
                image = Enhance("Contrast", self.contrast).apply(image)
            elif step == SATURATION and self.saturation is not None:
                image = Enhance("Color", self.saturation).apply(image)
            elif step == HUE and self.hue is not None:
                image = shift_hue(image, self.hue)
        return image


def shift_hue(image: Image.Image, turns: float) -> Image.Image:
    """Returns an RGB image with its hue shifted, in Pillow's HSV of 8 bits.

    Args:
        image: An RGB image.
        turns: -0.5 to 0.5; a turn is 255 levels, and a fraction of a level is cut off.
    """
    from PIL import Image

    shift = int(turns * 255)
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


class ColorJitterSpec(TransformSpec):
    """torchvision's ``ColorJitter``: changes colors in random order.

    For each, one number stands for [1 - number, 1 + number], for `hue` [-number, number].

    Attributes:
        brightness: Bounds of the factor of brightness.
        contrast: Bounds of the factor of contrast.
        saturation: Bounds of the factor of saturation.
        hue: Bounds of the shift of hue, in turns of the color wheel.
    """

    main = "brightness"
    name: Literal["color_jitter"] = "color_jitter"
    brightness: Jitter = 0.0
    contrast: Jitter = 0.0
    saturation: Jitter = 0.0
    hue: HueJitter = 0.0

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> ColorJitter:
        """Draws the order of the steps, then their values."""
        order = list(range(4))
        for last in (3, 2, 1):  # Fisher-Yates
            other = below(rng, last + 1)
            order[last], order[other] = order[other], order[last]

        def value(jitter: float | tuple[float, float], center: float) -> float | None:
            if isinstance(jitter, tuple):
                low, high = jitter
            else:
                low, high = center - jitter, center + jitter
                low = max(low, 0.0) if center else low
            return None if low == high == center else uniform(rng, low, high)

        return ColorJitter(
            tuple(order),
            value(self.brightness, 1.0),
            value(self.contrast, 1.0),
            value(self.saturation, 1.0),
            value(self.hue, 0.0),
        )

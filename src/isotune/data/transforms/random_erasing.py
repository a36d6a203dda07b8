"""Random erasing: a rectangle that hides what is behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from isotune.randomness import below, uniform
from isotune.spec.transform_options import Areas, Erased, Probability, Ratios, rgb
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

TRIES = 10
"""Number of rectangles drawn before the image is left as it is, as in torchvision."""


@dataclass(frozen=True)
class Erase:
    """Replaces a rectangle.

    Attributes:
        value: Red, green and blue, 0 to 255, or pixels: uint8, shape (height, width, 3).
    """

    top: int
    left: int
    height: int
    width: int
    value: tuple[int, int, int] | NDArray[Any]

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image with its rectangle replaced."""
        from PIL import Image

        value = self.value
        patch = value if isinstance(value, tuple) else Image.fromarray(value)
        image = image.copy()
        image.paste(patch, (self.left, self.top, self.left + self.width, self.top + self.height))
        return image


@dataclass(frozen=True)
class Unchanged:
    """Leaves an image as it is."""

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image."""
        return image


class RandomErasingSpec(TransformSpec):
    """torchvision's ``RandomErasing`` (Zhong et al., "Random Erasing Data Augmentation", 2017).

    It works on the levels of an image, before normalization, so that `value` is a color. The color
    that normalization makes 0 is its mean, [124, 116, 104] for ImageNet's.

    Attributes:
        p: Probability of a change.
        scale: Bounds of the rectangle's area, as shares of the image's area.
        ratio: Bounds of the rectangle's height over its width.
        value: Level, or red, green and blue; or ``random`` for pixels of random levels from 0 to
            255, as in the paper.
    """

    main = "p"
    bare = True
    name: Literal["random_erasing"] = "random_erasing"
    p: Probability = 0.5
    scale: Areas = (0.02, 0.33)
    ratio: Ratios = (0.3, 3.3)
    value: Erased = 0

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Erase | Unchanged:
        """Draws whether the image changes, then a rectangle, then its pixels."""
        return self._erase(rng, *size) if rng.random() < self.p else Unchanged()

    def _erase(self, rng: np.random.Generator, width: int, height: int) -> Erase | Unchanged:
        low, high = (math.log(ratio) for ratio in self.ratio)
        for _ in range(TRIES):
            area = width * height * uniform(rng, *self.scale)
            ratio = math.exp(uniform(rng, low, high))
            rows, columns = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < rows < height and 0 < columns < width:
                top, left = below(rng, height - rows + 1), below(rng, width - columns + 1)
                return Erase(top, left, rows, columns, self._value(rng, rows, columns))
        return Unchanged()

    def _value(
        self, rng: np.random.Generator, rows: int, columns: int
    ) -> tuple[int, int, int] | NDArray[Any]:
        if isinstance(self.value, str):
            return (rng.random((rows, columns, 3)) * 256).astype("uint8")
        return rgb(self.value)

"""Images without color."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.spec.transform_options import Probability
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class Grayscale:
    """Replaces colors by their luma (ITU-R 601-2), if `gray`."""

    gray: bool = True

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image, its three channels equal if `gray`."""
        return image.convert("L").convert("RGB") if self.gray else image


class GrayscaleSpec(TransformSpec):
    """torchvision's ``Grayscale`` with three equal channels."""

    bare = True
    random = False
    name: Literal["grayscale"] = "grayscale"

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Grayscale:
        """Returns the operation, the same for every image."""
        return Grayscale()


class RandomGrayscaleSpec(TransformSpec):
    """torchvision's ``RandomGrayscale``: three equal channels.

    Attributes:
        p: Probability of a gray image.
    """

    main = "p"
    bare = True
    name: Literal["random_grayscale"] = "random_grayscale"
    p: Probability = 0.1

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Grayscale:
        """Draws whether the image becomes gray."""
        return Grayscale(rng.random() < self.p)

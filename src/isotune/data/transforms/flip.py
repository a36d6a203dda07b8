"""Random flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.spec.transform_options import Probability
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class Flip:
    """Mirrors left and right (`horizontal`) or top and bottom, if `flipped`."""

    horizontal: bool
    flipped: bool

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image, mirrored if `flipped`."""
        if not self.flipped:
            return image
        from PIL.Image import Transpose

        return image.transpose(
            Transpose.FLIP_LEFT_RIGHT if self.horizontal else Transpose.FLIP_TOP_BOTTOM
        )


class RandomHorizontalFlipSpec(TransformSpec):
    """torchvision's ``RandomHorizontalFlip``: swaps left and right.

    Attributes:
        p: Probability of a flip.
    """

    main = "p"
    bare = True
    name: Literal["random_horizontal_flip"] = "random_horizontal_flip"
    p: Probability = 0.5

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Flip:
        """Draws whether the image is flipped."""
        return Flip(horizontal=True, flipped=rng.random() < self.p)


class RandomVerticalFlipSpec(TransformSpec):
    """torchvision's ``RandomVerticalFlip``: swaps top and bottom.

    Attributes:
        p: Probability of a flip.
    """

    main = "p"
    bare = True
    name: Literal["random_vertical_flip"] = "random_vertical_flip"
    p: Probability = 0.5

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Flip:
        """Draws whether the image is flipped."""
        return Flip(horizontal=False, flipped=rng.random() < self.p)

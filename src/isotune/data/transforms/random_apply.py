"""Other transforms, for a random share of the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from isotune.data.transforms.pipeline import transform
from isotune.spec.transform_options import Probability
from isotune.spec.transforms import NotEmpty, TransformSpec, output_size

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class Apply:
    """Applies transforms.

    Their numbers come from the image's stream when they are applied, one transform after the
    other, since they depend on the size that the transform before made. So apply it once.
    """

    transforms: tuple[TransformSpec, ...]
    rng: np.random.Generator

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the transformed image."""
        return transform(image, self.transforms, self.rng)


class RandomApplySpec(TransformSpec):
    """torchvision's ``RandomApply``: all of the given transforms in order, or none of them.

    Attributes:
        transforms: The transforms.
        p: Probability that they are applied.
    """

    main = "transforms"
    name: Literal["random_apply"] = "random_apply"
    transforms: NotEmpty
    p: Probability = 0.5

    @property
    def inner(self) -> tuple[TransformSpec, ...]:
        """The transforms."""
        return self.transforms

    def output(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Returns (height, width) after the transform, or None if only some images change it."""
        changed = output_size(self.transforms, size)
        if self.p in (0, 1):
            return changed if self.p else size
        return size if changed == size else None

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Apply:
        """Draws whether the transforms are applied."""
        return Apply(self.transforms if rng.random() < self.p else (), rng)

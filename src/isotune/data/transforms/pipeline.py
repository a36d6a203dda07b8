"""Applies the transforms of a pipeline to an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    from PIL import Image


def transform(
    image: Image.Image, pipeline: Sequence[TransformSpec], rng: np.random.Generator | None
) -> Image.Image:
    """Draws and applies the transforms of a pipeline, all from one random stream.

    Args:
        image: An RGB image, which is not changed.
        pipeline: The transforms, in order.
        rng: The image's random stream; None if no transform is random.

    Raises:
        DatasetError: The image is too small for a transform.
    """
    for spec in pipeline:
        assert rng is not None or not spec.random, "a random transform needs a stream"
        # A transform that draws numbers without saying so fails on None, instead of being cached.
        image = spec.draw(rng, image.size).apply(image)  # type: ignore[arg-type]
    return image


def fixed_part(pipeline: Sequence[TransformSpec]) -> int:
    """Returns the number of transforms before the first random one."""
    return next((i for i, spec in enumerate(pipeline) if spec.random), len(pipeline))

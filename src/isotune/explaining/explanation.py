"""An explanation of a prediction, and how it is drawn over its image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

INFERNO = np.array(
    [(0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51),
     (249, 140, 10), (249, 201, 50), (252, 255, 164)],
    np.float32,
)  # fmt: skip
"""matplotlib's color map inferno (CC0) at nine evenly spaced values: dark is 0, bright is 1."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which parts of an image decided about a prediction.

    Attributes:
        image: The image as the network saw it, transformed but not normalized: uint8,
            shape (H, W, 3), RGB.
        heat: How much each pixel counts, in [0, 1]: float32, shape (H, W). Of Grad-CAM it is what
            speaks for the class, of attention rollout how much attention it gets. The largest
            value is 1, or 0 where nothing speaks for the class.
        predicted: Name of the predicted class.
        probability: Probability of the predicted class, in [0, 1].
        explained: Name of the class that is explained, or None if the method does not distinguish
            classes.
        method: ``Grad-CAM`` or ``attention rollout``.
        stage: The stage of the backbone that Grad-CAM looks at, or the path of its part; None for
            attention rollout.
        identity: The image's path, or its position among those given.
    """

    image: NDArray[np.uint8] = field(repr=False)
    heat: NDArray[np.float32] = field(repr=False)
    predicted: str
    probability: float
    explained: str | None
    method: str
    stage: str | None
    identity: str = ""

    def overlay(self, opacity: float = 0.6) -> NDArray[np.uint8]:
        """Returns the image with the heat drawn over it: uint8, shape (H, W, 3), RGB.

        Args:
            opacity: Opacity of the colors, in [0, 1].
        """
        mixed = (1 - opacity) * self.image + opacity * colored(self.heat)
        return np.rint(mixed).astype(np.uint8)


def colored(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the colors of values in [0, 1]: float32 in [0, 255], one more axis of 3, RGB."""
    steps = np.linspace(0, 1, len(INFERNO))
    channels = [np.interp(heat, steps, channel) for channel in INFERNO.T]
    return np.stack(channels, axis=-1).astype(np.float32)

"""mixup: a weighted mean of two images (Zhang et al., 2018, https://arxiv.org/abs/1710.09412)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from isotune.data.mixing.beta import symmetric_beta
from isotune.spec.mixing import MixingRule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Blend:
    """Takes `share` of an image and the rest of its partner."""

    share: float

    def apply(self, image: NDArray[np.uint8], partner: NDArray[np.uint8]) -> None:
        """Blends `partner` into `image`.

        In float32, each operation rounded once, and the result to the nearest integer, of two
        equally near ones to the even one.
        """
        import numpy as np

        mixed = np.multiply(image, np.float32(self.share), dtype=np.float32)
        mixed += np.multiply(partner, np.float32(1 - self.share), dtype=np.float32)
        np.rint(mixed, out=mixed)
        image[...] = mixed


class Mixup(MixingRule):
    """Blends images in pairs."""

    name: ClassVar[str] = "mixup"

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Blend:
        """Draws the share of an image."""
        return Blend(symmetric_beta(rng, self.alpha))

"""CutMix: a box of another image (Yun et al., 2019, https://arxiv.org/abs/1905.04899)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from isotune.data.mixing.beta import symmetric_beta
from isotune.randomness import below
from isotune.spec.mixing import MixingRule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Paste:
    """Takes a box from the partner, and everything else from the image.

    Attributes:
        share: Share of the area outside the box.
        rows: Rows of the box.
        columns: Columns of the box.
    """

    share: float
    rows: slice
    columns: slice

    def apply(self, image: NDArray[np.uint8], partner: NDArray[np.uint8]) -> None:
        """Pastes the box of `partner` into `image`, at its place."""
        image[self.rows, self.columns] = partner[self.rows, self.columns]


class CutMix(MixingRule):
    """Exchanges a box between images in pairs."""

    name: ClassVar[str] = "cutmix"

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Paste:
        """Draws a box: its share of the area, and its center, uniformly in the image.

        Its sides have the proportions of the image's. What lies outside is cut off, and the share
        is that of what is left.
        """
        side = math.sqrt(1 - symmetric_beta(rng, self.alpha))
        rows, columns = (
            _interval(below(rng, length), int(length * side), length) for length in size
        )
        box = (rows.stop - rows.start) * (columns.stop - columns.start)
        return Paste(1 - box / (size[0] * size[1]), rows, columns)


def _interval(center: int, length: int, end: int) -> slice:
    return slice(max(center - length // 2, 0), min(center + (length + 1) // 2, end))

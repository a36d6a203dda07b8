"""Random views from an angle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from isotune.data.transforms.resize import resampling
from isotune.randomness import below
from isotune.spec.transform_options import Fill, Probability, Share, WarpInterpolation, rgb
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

Points = tuple[tuple[int, int], ...]
"""(x, y) of the corner at the top left, top right, bottom right and bottom left."""


@dataclass(frozen=True)
class Perspective:
    """Moves the image's corners to other places; None leaves the image unchanged."""

    corners: Points | None
    interpolation: str
    fill: tuple[int, int, int]

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image seen so, which keeps its size.

        It is unchanged if three of the corners are on a line: no view of the image is like that.
        """
        from PIL.Image import Transform

        if self.corners is None or any(map(_on_a_line, combinations(self.corners, 3))):
            return image
        return image.transform(
            image.size,
            Transform.PERSPECTIVE,
            coefficients(self.corners, *image.size),
            resampling(self.interpolation),
            fillcolor=self.fill,
        )


def _on_a_line(points: Points) -> bool:
    (a, b), (c, d), (e, f) = points
    return (c - a) * (f - b) == (d - b) * (e - a)


def coefficients(corners: Points, width: int, height: int) -> list[float]:
    """Returns the eight numbers of Pillow's perspective transform.

    They map the given corners to those of an image, and are rounded to float32 as torchvision's
    ``_get_perspective_coeffs`` rounds them.
    """
    import numpy as np

    right, bottom = width - 1, height - 1
    rows, values = [], []
    for (x, y), (u, v) in zip(
        corners, ((0, 0), (right, 0), (right, bottom), (0, bottom)), strict=True
    ):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    solution = np.linalg.solve(np.array(rows, np.float64), np.array(values, np.float64))
    numbers: list[float] = solution.astype(np.float32).tolist()
    return numbers


class PerspectiveSpec(TransformSpec):
    """torchvision's ``RandomPerspective``: the corners move inward, each by itself.

    Attributes:
        distortion_scale: Largest move of a corner, as a share of half the width and height.
        p: Probability of a change.
        interpolation: The filter.
        fill: Level, or red, green and blue, of what is uncovered.
    """

    main = "distortion_scale"
    bare = True
    name: Literal["perspective"] = "perspective"
    distortion_scale: Share = 0.5
    p: Probability = 0.5
    interpolation: WarpInterpolation = "bilinear"
    fill: Fill = 0

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Perspective:
        """Draws whether the image changes, then the corners."""
        corners = self._corners(rng, *size) if rng.random() < self.p else None
        return Perspective(corners, self.interpolation, rgb(self.fill))

    def _corners(self, rng: np.random.Generator, width: int, height: int) -> Points:
        across = int(self.distortion_scale * (width // 2)) + 1
        down = int(self.distortion_scale * (height // 2)) + 1
        moves = [(below(rng, across), below(rng, down)) for _ in range(4)]
        (a, b), (c, d), (e, f), (g, h) = moves
        right, bottom = width - 1, height - 1
        return (a, b), (right - c, d), (right - e, bottom - f), (g, bottom - h)

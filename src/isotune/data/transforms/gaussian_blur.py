"""Random blur."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Literal

from isotune.randomness import uniform
from isotune.spec.transform_options import KernelSize, Sigma
from isotune.spec.transforms import TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


@dataclass(frozen=True)
class GaussianBlur:
    """Blurs the image by a Gaussian kernel that ends at a fixed distance.

    Attributes:
        kernel: Number of pixels across and down that the kernel covers, odd.
        sigma: Standard deviation, in pixels.
    """

    kernel: tuple[int, int]
    sigma: float

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the blurred image; at its border it is mirrored about the outermost pixels."""
        import numpy as np
        from PIL import Image

        pixels = np.asarray(image)
        height, width, channels = pixels.shape
        across, down = (count // 2 for count in self.kernel)
        padded = np.pad(pixels, ((down, down), (across, across), (0, 0)), "reflect")
        line = padded.shape[1] * channels
        # One dimension after the other: k + k products a pixel instead of k * k.
        values = padded.astype(np.float32).reshape(-1)
        values = _convolved(values, self._weights(down), line)
        values = _convolved(values, self._weights(across), channels)
        levels = np.empty(height * line, np.uint8)
        np.rint(values, out=values)
        levels[: len(values)] = values
        rows = levels.reshape(height, line)[:, : width * channels]
        return Image.fromarray(rows.reshape(pixels.shape))

    def _weights(self, reach: int) -> list[float]:
        """Returns the weights of the pixel itself and of those at distance 1, 2, ..."""
        halves = [exp(-0.5 * (distance / self.sigma) ** 2) for distance in range(reach + 1)]
        total = 2 * sum(halves) - halves[0]
        return [half / total for half in halves]


def _convolved(values: NDArray[np.float32], weights: list[float], step: int) -> NDArray[np.float32]:
    """Returns sums of values and those at multiples of `step` before and after them.

    Args:
        values: float32, shape (n,).
        weights: Of a value itself and of those at distance 1, 2, ... in steps.
        step: Number of values to a neighbor.

    Returns:
        float32, shape (n - 2 * (len(weights) - 1) * step,).
    """
    import numpy as np

    first = (len(weights) - 1) * step
    count = len(values) - 2 * first
    total = values[first : first + count] * np.float32(weights[0])
    pair = np.empty_like(total)
    for distance, weight in enumerate(weights[1:], 1):
        before, after = first - distance * step, first + distance * step
        np.add(values[before : before + count], values[after : after + count], out=pair)
        np.multiply(pair, np.float32(weight), out=pair)
        total += pair
    return total


class GaussianBlurSpec(TransformSpec):
    """torchvision's ``GaussianBlur``: a kernel of fixed size and random width.

    Sums are added in another order, so that few values differ, by one level of 255.

    Attributes:
        kernel_size: Pixels across and down that the kernel covers, odd; or [across, down].
        sigma: Bounds of the standard deviation, in pixels, or the only one.
    """

    main = "kernel_size"
    name: Literal["gaussian_blur"] = "gaussian_blur"
    kernel_size: KernelSize
    sigma: Sigma = (0.1, 2.0)

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> GaussianBlur:
        """Draws the standard deviation."""
        kernel, sigma = self.kernel_size, self.sigma
        low, high = sigma if isinstance(sigma, tuple) else (sigma, sigma)
        return GaussianBlur(
            kernel if isinstance(kernel, tuple) else (kernel, kernel), uniform(rng, low, high)
        )

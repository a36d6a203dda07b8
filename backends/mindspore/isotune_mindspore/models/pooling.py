"""Pooling as PyTorch defines it, where MindSpore's differs or is slower."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops
from numpy.typing import NDArray


class AdaptiveMean(nn.Cell):
    """PyTorch's ``AdaptiveAvgPool2d``: maps of any size to maps of `size` x `size` means.

    One product with a constant matrix, whose shape follows from that of the input. On a CPU it
    takes a quarter of the time of MindSpore's own (2.10, two cores, forward and backward, 8
    samples of 512 maps of 2 x 2 to 7 x 7: 0.9 ms and 4.1 ms), and none where the sizes are equal.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.matmul, self.reshape = ops.MatMul(), ops.Reshape()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, channels, size, size) of `x`: float32, (N, channels, height, width)."""
        n, c, h, w = x.shape
        if h == self.size and w == self.size:
            return x
        means = self.matmul(self.reshape(x, (n * c, h * w)), averaging_matrix(h, w, self.size))
        return self.reshape(means, (n, c, self.size, self.size))


@ops.constexpr
def averaging_matrix(height: int, width: int, size: int) -> Tensor:
    """Returns the weight of each input in each mean: float32, (height * width, size * size)."""
    return Tensor(np.kron(bins(height, size), bins(width, size)).astype(np.float32))


def bins(inputs: int, outputs: int) -> NDArray[np.float64]:
    """Returns the same in one dimension: shape (inputs, outputs), with columns that sum to 1.

    Output `i` is the mean of the inputs from floor(i inputs / outputs) up to, but excluding,
    ceil((i + 1) inputs / outputs).
    """
    matrix = np.zeros((inputs, outputs))
    for i in range(outputs):
        start, stop = i * inputs // outputs, -(-(i + 1) * inputs // outputs)
        matrix[start:stop, i] = 1 / (stop - start)
    return matrix


class CeilMaxPool(nn.Cell):
    """PyTorch's ``MaxPool2d(kernel, stride=2, ceil_mode=True)`` of maps without negative values.

    Zeros on the right and below pad the last windows; after a ReLU they change no maximum.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.pool = nn.MaxPool2d(kernel, 2)

    def construct(self, x: Tensor) -> Tensor:
        """Returns the largest value of each window: (N, channels, H', W')."""
        below, right = missing(x.shape[2], self.kernel), missing(x.shape[3], self.kernel)
        if below or right:
            x = ops.Pad(((0, 0), (0, 0), (0, below), (0, right)))(x)
        return self.pool(x)


@ops.constexpr
def missing(size: int, kernel: int) -> int:
    """Returns the number of rows that the last window of stride 2 lacks."""
    windows = -(-max(size - kernel, 0) // 2) + 1
    if (windows - 1) * 2 >= size:
        windows -= 1
    return max((windows - 1) * 2 + kernel - size, 0)


class PaddedMean(nn.Cell):
    """PyTorch's ``AvgPool2d(3, stride, padding=1)``, which counts the zeros around the maps."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.pad = ops.Pad(((0, 0), (0, 0), (1, 1), (1, 1)))
        self.pool = nn.AvgPool2d(3, stride)

    def construct(self, x: Tensor) -> Tensor:
        """Returns the mean of each window: (N, channels, H / stride, W / stride), rounded up."""
        return self.pool(self.pad(x))

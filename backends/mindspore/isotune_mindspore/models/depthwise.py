"""Depthwise convolution for devices without a kernel for it: a matrix product on small maps.

Milliseconds of one convolution on a CPU (MindSpore 2.10, two cores), ``nn.Conv2d`` with one group
a channel against this: 32 samples of 240 maps of 8 x 8 with a 5 x 5 kernel 10.8 and 2.8 forward,
32.5 and 7.6 backward; 672 maps of 4 x 4 12.5 and 1.5, 23.5 and 2.5; of 16 x 16 the former is
faster.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Union

import numpy as np
from mindspore import Tensor, nn, ops
from numpy.typing import NDArray

Padding = Union[int, str]
"""The same width on all sides, or ``"same"``: TensorFlow's SAME."""

SMALL = 64
"""Pixels of a map up to which the product is faster, with a kernel of 5 x 5 or more."""

SMALL_FOR_3 = 36
"""The same for smaller kernels. With 7 x 7 maps MobileNetV2's step took as long either way, and its
first step 0.2 to 1 s longer with products, which are more to compile."""


class DepthwiseConv2d(nn.Conv2d):
    """An ``nn.Conv2d`` with one group per channel and a square kernel.

    On small maps it multiplies, for each channel, the maps of all samples, (N, H W), by the matrix
    of the convolution, (H W, H' W').
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.small = SMALL if self.kernel_size[0] >= 5 else SMALL_FOR_3
        self.sides = "same" if self.pad_mode == "same" else int(self.padding)
        # Primitives: the functions of `ops` and the methods of tensors take longer to compile.
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()
        self.matmul, self.batch_matmul = ops.MatMul(), ops.BatchMatMul()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, channels, H', W') of `x`: float32, shape (N, channels, H, W)."""
        small = x.shape[2] * x.shape[3] <= self.small
        y = self.multiply(x) if small else self.conv2d(x, self.weight)
        return self.bias_add(y, self.bias) if self.has_bias else y

    def multiply(self, x: Tensor) -> Tensor:
        """Convolves by one matrix product per channel."""
        n, c, h, w = x.shape
        k, stride = self.kernel_size[0], self.stride[0]
        out_h, out_w = output_size(h, k, stride, self.sides), output_size(w, k, stride, self.sides)
        values = self.reshape(self.weight, (c, k * k))
        matrices = self.matmul(values, convolution_matrices(h, w, k, stride, self.sides))
        matrices = self.reshape(matrices, (c, h * w, out_h * out_w))
        x = self.transpose(self.reshape(x, (n, c, h * w)), (1, 0, 2))
        y = self.transpose(self.batch_matmul(x, matrices), (1, 0, 2))
        return self.reshape(y, (n, c, out_h, out_w))


@ops.constexpr
def output_size(size: int, kernel: int, stride: int, padding: Padding) -> int:
    """Returns the number of outputs of a row of `size` inputs."""
    return int(band_matrices(size, kernel, stride, padding).shape[2])


@ops.constexpr
def convolution_matrices(
    height: int, width: int, kernel: int, stride: int, padding: Padding
) -> Tensor:
    """Returns, for each place of the kernel, which inputs contribute to which outputs.

    float32, shape (kernel * kernel, height * width * height' * width'), zeros and ones.
    """
    down = band_matrices(height, kernel, stride, padding)
    across = band_matrices(width, kernel, stride, padding)
    return Tensor(np.einsum("iab,jcd->ijacbd", down, across).reshape(kernel * kernel, -1))


@lru_cache(maxsize=256)
def band_matrices(size: int, kernel: int, stride: int, padding: Padding) -> NDArray[np.float32]:
    """Returns the same in one dimension: shape (kernel, size, size').

    Element (j, i, o) is 1 if output `o` multiplies input `i` by the kernel's `j`-th value, that
    is, if ``i = o * stride + j - before``, with `before` zeros in front of the first input.
    """
    if isinstance(padding, int):
        outputs, before = (size + 2 * padding - kernel) // stride + 1, padding
    else:
        outputs = -(-size // stride)
        before = max((outputs - 1) * stride + kernel - size, 0) // 2
    matrices = np.zeros((kernel, size, outputs), np.float32)
    for o in range(outputs):
        for j in range(kernel):
            i = o * stride + j - before
            if 0 <= i < size:
                matrices[j, i, o] = 1
    return matrices

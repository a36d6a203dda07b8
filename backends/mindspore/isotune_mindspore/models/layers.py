"""Layers that several models share. Values are zeros: the core sets every one of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import constexpr
from numpy.typing import NDArray

from isotune_mindspore.devices import has_fast_depthwise

Padding = int | str
"""The same width on all sides, or ``"same"``: TensorFlow's SAME."""


def conv(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    padding: Padding = 0,
    bias: bool = False,
) -> nn.Conv2d:
    """Returns a convolution with a square kernel."""
    same = padding == "same"
    return nn.Conv2d(
        inputs,
        outputs,
        kernel,
        stride,
        pad_mode="same" if same else "pad",
        padding=0 if same else padding,
        has_bias=bias,
        weight_init="zeros",
        bias_init="zeros",
    )


def depthwise_conv(channels: int, kernel: int, stride: int, padding: Padding) -> nn.Cell:
    """Returns a depthwise convolution with a square kernel and no bias."""
    if not has_fast_depthwise():
        return BandedDepthwiseConv2d(channels, kernel, stride, padding)
    same = padding == "same"
    return nn.Conv2d(
        channels,
        channels,
        kernel,
        stride,
        pad_mode="same" if same else "pad",
        padding=0 if same else padding,
        group=channels,
        weight_init="zeros",
    )


def batch_norm(channels: int, eps: float = 1e-5, momentum: float = 0.1) -> nn.BatchNorm2d:
    """Returns a BatchNorm layer; `momentum` is PyTorch's, the weight of the new value."""
    return nn.BatchNorm2d(channels, eps=eps, momentum=1 - momentum)


def linear(inputs: int, outputs: int) -> nn.Dense:
    """Returns a linear layer with a bias."""
    return nn.Dense(inputs, outputs, weight_init="zeros", bias_init="zeros")


class BandedDepthwiseConv2d(nn.Cell):
    """A depthwise convolution as two matrix products, for devices without kernels for it.

    Along a row of W pixels, convolving is multiplying by a banded (W, W') matrix; one matrix a
    channel holds the bands of all rows of its kernel. A second product, with a constant matrix of
    zeros and ones, adds up the rows. Small pictures take one product with the matrix of both
    dimensions at once.

    Attributes:
        weight: float32, shape (channels, 1, kernel, kernel), as of a grouped ``nn.Conv2d``.
    """

    SMALL = 64
    """Pixels up to which one product is faster (measured on a CPU with AVX-512)."""

    def __init__(self, channels: int, kernel: int, stride: int, padding: Padding) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.weight = Parameter(
            Tensor(np.zeros((channels, 1, kernel, kernel), np.float32)), name="weight"
        )

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, channels, height', width') of `x`: (N, channels, height, width)."""
        if x.shape[2] * x.shape[3] <= self.SMALL:
            return self.at_once(x)
        return self.by_rows(x)

    def at_once(self, x: Tensor) -> Tensor:
        """Convolves by one product a channel: (N, H W) by (H W, H' W')."""
        n, c, h, w = x.shape
        out_h = output_size(h, self.kernel, self.stride, self.padding)
        out_w = output_size(w, self.kernel, self.stride, self.padding)
        bands = plane_bands(h, w, self.kernel, self.stride, self.padding)
        matrices = ops.matmul(self.weight.reshape(c, -1), bands).reshape(c, h * w, out_h * out_w)
        y = ops.bmm(x.reshape(n, c, h * w).transpose(1, 0, 2), matrices)
        return y.transpose(1, 0, 2).reshape(n, c, out_h, out_w)

    def by_rows(self, x: Tensor) -> Tensor:
        """Convolves rows by (W, kernel W') a channel, then adds up by (H kernel, H')."""
        n, c, h, w = x.shape
        k = self.kernel
        out_h = output_size(h, k, self.stride, self.padding)
        out_w = output_size(w, k, self.stride, self.padding)
        across = row_bands(w, k, self.stride, self.padding)
        down = column_bands(h, k, self.stride, self.padding)
        matrices = ops.matmul(self.weight.reshape(c * k, k), across).reshape(c, k, w, out_w)
        matrices = matrices.transpose(0, 2, 1, 3).reshape(c, w, k * out_w)
        rows = ops.bmm(x.transpose(1, 0, 2, 3).reshape(c, n * h, w), matrices)
        rows = rows.reshape(c, n, h * k, out_w).transpose(0, 1, 3, 2).reshape(-1, h * k)
        return ops.matmul(rows, down).reshape(c, n, out_w, out_h).transpose(1, 0, 3, 2)

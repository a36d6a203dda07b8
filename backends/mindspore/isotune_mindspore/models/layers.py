"""Layers that several models share. Values are zeros: the core sets every one of them."""

from __future__ import annotations

from typing import Any, Union

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from isotune_mindspore.devices import has_fast_depthwise
from isotune_mindspore.models.depthwise import DepthwiseConv2d, Padding

Sides = Union[int, tuple[int, int]]
"""A number of rows and of columns, or one number for both."""


def conv(
    inputs: int,
    outputs: int,
    kernel: Sides,
    stride: int = 1,
    padding: Padding | Sides = 0,
    bias: bool = False,
    groups: int = 1,
) -> nn.Conv2d:
    """Returns a convolution, for one group per channel the fastest implementation.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        kernel: Height and width of the kernel, or one number for both.
        stride: Stride in both directions.
        padding: Rows above and below and columns on either side, one number for both, or
            ``"same"``: TensorFlow's SAME.
        bias: Whether there is a bias.
        groups: Number of groups of channels.
    """
    depthwise = groups == inputs == outputs and isinstance(kernel, int)
    kind = DepthwiseConv2d if depthwise and not has_fast_depthwise() else nn.Conv2d
    return kind(
        inputs,
        outputs,
        kernel,
        stride,
        **_sides(padding),
        group=groups,
        has_bias=bias,
        weight_init="zeros",
        bias_init="zeros",
    )


def _sides(padding: Padding | Sides) -> dict[str, Any]:
    """Returns `padding` as ``nn.Conv2d`` takes it."""
    if padding == "same":
        return {"pad_mode": "same", "padding": 0}
    if isinstance(padding, tuple):
        down, across = padding
        return {"pad_mode": "pad", "padding": (down, down, across, across)}
    return {"pad_mode": "pad", "padding": padding}


def batch_norm(channels: int, eps: float = 1e-5, momentum: float = 0.1) -> nn.BatchNorm2d:
    """Returns a BatchNorm layer; `momentum` is PyTorch's, the weight of the new value."""
    return nn.BatchNorm2d(channels, eps=eps, momentum=1 - momentum)


def linear(inputs: int, outputs: int, bias: bool = True) -> nn.Dense:
    """Returns a linear layer."""
    return nn.Dense(inputs, outputs, has_bias=bias, weight_init="zeros", bias_init="zeros")


def layer_norm(width: int, eps: float = 1e-5) -> nn.LayerNorm:
    """Returns a LayerNorm over the last axis."""
    return nn.LayerNorm([width], epsilon=eps)


def gelu() -> nn.GELU:
    """Returns the exact GELU, by the error function."""
    return nn.GELU(approximate=False)


def zeros(shape: tuple[int, ...], name: str) -> Parameter:
    """Returns a parameter of zeros that belongs to no layer."""
    return Parameter(Tensor(np.zeros(shape, np.float32)), name=name)


class GlobalMean(nn.Cell):
    """The mean of each map."""

    def __init__(self, keep_dims: bool = False) -> None:
        super().__init__()
        self.mean = ops.ReduceMean(keep_dims)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, channels), or (N, channels, 1, 1), of `x`: (N, channels, height, width)."""
        return self.mean(x, (2, 3))


class Permute(nn.Cell):
    """Puts axes in another order."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes
        self.transpose = ops.Transpose()

    def construct(self, x: Tensor) -> Tensor:
        """Returns `x` with its axes in the order of ``axes``."""
        return self.transpose(x, self.axes)


class LayerNorm2d(nn.LayerNorm):
    """A LayerNorm over the channels of maps."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__([channels], epsilon=eps)
        self.transpose = ops.Transpose()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, channels, height, width), normalized over the channels."""
        x = self.layer_norm(self.transpose(x, (0, 2, 3, 1)), self.gamma, self.beta)[0]
        return self.transpose(x, (0, 3, 1, 2))

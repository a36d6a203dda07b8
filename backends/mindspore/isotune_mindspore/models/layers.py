"""Layers that several models share. Values are zeros: the core sets every one of them."""

from __future__ import annotations

from typing import Any

from mindspore import Tensor, nn, ops

from isotune_mindspore.devices import has_fast_depthwise
from isotune_mindspore.models.depthwise import DepthwiseConv2d, Padding


def conv(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    padding: Padding = 0,
    bias: bool = False,
) -> nn.Conv2d:
    """Returns a convolution with a square kernel."""
    return nn.Conv2d(
        inputs,
        outputs,
        kernel,
        stride,
        **_sides(padding),
        has_bias=bias,
        weight_init="zeros",
        bias_init="zeros",
    )


def _sides(padding: Padding) -> dict[str, Any]:
    """Returns `padding` as ``nn.Conv2d`` takes it."""
    if padding == "same":
        return {"pad_mode": "same", "padding": 0}
    return {"pad_mode": "pad", "padding": padding}


def depthwise_conv(channels: int, kernel: int, stride: int, padding: Padding) -> nn.Conv2d:
    """Returns a depthwise convolution with a square kernel and no bias."""
    kind = nn.Conv2d if has_fast_depthwise() else DepthwiseConv2d
    return kind(
        channels,
        channels,
        kernel,
        stride,
        **_sides(padding),
        group=channels,
        weight_init="zeros",
    )


def batch_norm(channels: int, eps: float = 1e-5, momentum: float = 0.1) -> nn.BatchNorm2d:
    """Returns a BatchNorm layer; `momentum` is PyTorch's, the weight of the new value."""
    return nn.BatchNorm2d(channels, eps=eps, momentum=1 - momentum)


def linear(inputs: int, outputs: int) -> nn.Dense:
    """Returns a linear layer with a bias."""
    return nn.Dense(inputs, outputs, weight_init="zeros", bias_init="zeros")


class GlobalMean(nn.Cell):
    """The mean of each map."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = ops.ReduceMean()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, channels) of `x`: (N, channels, height, width)."""
        return self.mean(x, (2, 3))

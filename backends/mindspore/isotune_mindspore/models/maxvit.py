"""MaxViT (Tu et al., "MaxViT: multi-axis vision transformer", 2022)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import numpy as np
from mindspore import Tensor, nn, ops

from isotune_mindspore.dropout import StochasticDepth
from isotune_mindspore.models.blocks import Attention, SqueezeExcitation, conv_norm
from isotune_mindspore.models.layers import (
    GlobalMean,
    batch_norm,
    conv,
    gelu,
    layer_norm,
    linear,
    zeros,
)
from isotune_mindspore.models.pooling import PaddedMean
from isotune_mindspore.models.windows import PositionBias

norm = partial(batch_norm, eps=1e-3, momentum=0.01)

HEAD_WIDTH = 32
Four = tuple[int, int, int, int]


class MBConv(nn.Cell):
    """Normalize, expand, convolve each channel, scale the channels, project."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropped: float) -> None:
        super().__init__()
        self.proj = nn.Identity()
        if stride != 1 or inputs != outputs:
            layers: list[nn.Cell] = [conv(inputs, outputs, 1, bias=True)]
            if stride == 2:
                layers.insert(0, PaddedMean(2))
            self.proj = nn.SequentialCell(layers)
        self.stochastic_depth = StochasticDepth(dropped)
        width = 4 * outputs
        self.layers = nn.SequentialCell(
            OrderedDict(
                pre_norm=norm(inputs),
                conv_a=conv_norm(inputs, width, 1, activation=gelu, norm=norm),
                conv_b=conv_norm(width, width, 3, stride, gelu, norm, groups=width),
                squeeze_excitation=SqueezeExcitation(width, outputs // 4, activation=nn.SiLU),
                conv_c=conv(width, outputs, 1, bias=True),
            )
        )

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H / stride, W / stride)."""
        return self.proj(x) + self.stochastic_depth(self.layers(x))


class RelativeAttention(nn.Cell):
    """Attention within windows. Scores are scaled by the whole width, as torchvision's."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        heads = width // HEAD_WIDTH
        self.relative_position_bias_table = zeros(
            ((2 * size - 1) ** 2, heads), "relative_position_bias_table"
        )
        self.to_qkv = linear(width, 3 * width)
        self.merge = linear(width, width)
        self.scale = width**-0.5
        self.attention, self.biases = Attention(heads), PositionBias(size)
        self.reshape = ops.Reshape()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, windows, places, width) of `x`, of the same shape."""
        n, windows, places, width = x.shape
        projected = self.reshape(self.to_qkv(x), (n * windows, places, 3 * width))
        parts = self.attention.split(projected)
        biases = self.biases(self.relative_position_bias_table)
        seen = self.attention(parts[0], parts[1] * self.scale, parts[2], biases)
        return self.merge(self.reshape(seen, x.shape))


class PartitionAttention(nn.Cell):
    """Attention within windows of neighboring places, or of places spread over a grid.

    Args:
        width: Number of channels.
        size: Height and width of a window or a grid.
        grid: Whether attention is within a grid.
        dropped: Drop probability of each of the two residual branches.
    """

    def __init__(self, width: int, size: int, grid: bool, dropped: float) -> None:
        super().__init__()
        self.size, self.grid = size, grid
        self.attn_layer = nn.SequentialCell(layer_norm(width), RelativeAttention(width, size))
        self.mlp_layer = nn.SequentialCell(
            layer_norm(width), linear(width, 4 * width), gelu(), linear(4 * width, width)
        )
        self.stochastic_dropout = StochasticDepth(dropped)
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, width, H, W) of `x`, of the same shape; H and W are multiples of `size`."""
        n, c, h, w = x.shape
        rows, columns = h // self.size, w // self.size
        if self.grid:  # the places of a window are `rows` and `columns` apart
            x = self.reshape(x, (n, c, self.size, rows, self.size, columns))
            x = self.transpose(x, (0, 3, 5, 2, 4, 1))
        else:
            x = self.reshape(x, (n, c, rows, self.size, columns, self.size))
            x = self.transpose(x, (0, 2, 4, 3, 5, 1))
        x = self.reshape(x, (n, rows * columns, self.size * self.size, c))
        # Whole images are dropped, not windows.
        x = x + self.stochastic_dropout(self.attn_layer(x))
        x = x + self.stochastic_dropout(self.mlp_layer(x))
        x = self.reshape(x, (n, rows, columns, self.size, self.size, c))
        x = self.transpose(x, (0, 5, 3, 1, 4, 2) if self.grid else (0, 5, 1, 3, 2, 4))
        return self.reshape(x, (n, c, h, w))


def layer(inputs: int, outputs: int, stride: int, size: int, dropped: float) -> nn.SequentialCell:
    """Returns a convolution block and attention of both kinds, under torchvision's path."""
    return nn.SequentialCell(
        OrderedDict(
            layers=nn.SequentialCell(
                OrderedDict(
                    MBconv=MBConv(inputs, outputs, stride, dropped),
                    window_attention=PartitionAttention(outputs, size, False, dropped),
                    grid_attention=PartitionAttention(outputs, size, True, dropped),
                )
            )
        )
    )


class MaxViT(nn.Cell):
    """A stem, four blocks, and two linear layers on the normalized means of the last maps.

    Args:
        stem: Number of channels of the stem.
        widths: Number of channels of each block.
        repeats: Number of layers of each block.
        dropped: Drop probability of the last layer's branches; that of the first layer's is 0.
        size: Height and width of a window; those of images are multiples of 32 * `size`.
        classes: Number of logits.
    """

    def __init__(
        self,
        stem: int,
        widths: Four,
        repeats: Four,
        dropped: float,
        size: int,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.stem = nn.SequentialCell(
            conv_norm(3, stem, 3, 2, gelu, norm),
            nn.SequentialCell([conv(stem, stem, 3, padding=1, bias=True)]),
        )
        shares = iter(np.linspace(0, dropped, sum(repeats)).tolist())
        blocks, inputs = [], stem
        for width, count in zip(widths, repeats, strict=True):
            layers = []
            for place in range(count):
                layers.append(layer(inputs, width, 1 if place else 2, size, next(shares)))
                inputs = width
            blocks.append(nn.SequentialCell(OrderedDict(layers=nn.SequentialCell(layers))))
        self.blocks = nn.SequentialCell(blocks)
        self.classifier = nn.SequentialCell(
            GlobalMean(),
            nn.Identity(),
            layer_norm(inputs),
            linear(inputs, inputs),
            nn.Tanh(),
            linear(inputs, classes, bias=False),
        )

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.blocks(self.stem(x)))


MAXVITS: dict[str, Callable[[], nn.Cell]] = {
    "maxvit_t": partial(MaxViT, 64, (64, 128, 256, 512), (2, 2, 5, 2), 0.2, 7),
}
"""The family by torchvision's names."""

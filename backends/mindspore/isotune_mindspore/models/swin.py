"""Swin Transformer (Liu et al., 2021) and Swin Transformer V2 (Liu et al., 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from mindspore import Tensor, nn, ops
from numpy.typing import NDArray

from isotune.catalogue.windows import log_spaced
from isotune_mindspore.dropout import StochasticDepth
from isotune_mindspore.models.blocks import Attention, Mlp
from isotune_mindspore.models.layers import (
    GlobalMean,
    Permute,
    conv,
    gelu,
    layer_norm,
    linear,
    zeros,
)
from isotune_mindspore.models.windows import PositionBias

Four = tuple[int, int, int, int]

MASKED = -100.0
"""What is added to the score of two places that are no neighbours in the image."""


class Windows(nn.Cell):
    """Cuts maps into windows, shifted by half a window or not, and joins them again."""

    def __init__(self, size: int, shift: int) -> None:
        super().__init__()
        self.size, self.shift = size, shift
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()
        self.down, self.across = ops.Concat(1), ops.Concat(2)

    def roll(self, x: Tensor, down: int, across: int) -> Tensor:
        """Returns `x` (N, H, W, C) with its first rows and columns moved to the end."""
        if down:
            x = self.down((x[:, down:], x[:, :down]))
        if across:
            x = self.across((x[:, :, across:], x[:, :, :across]))
        return x

    def cut(self, x: Tensor) -> Tensor:
        """Returns (N * windows, size * size, C) of `x`: (N, H, W, C); zeros pad the windows."""
        n, h, w, c = x.shape
        below, right = -h % self.size, -w % self.size
        if below or right:
            x = ops.Pad(((0, 0), (0, below), (0, right), (0, 0)))(x)
        rows, columns = (h + below) // self.size, (w + right) // self.size
        x = self.roll(x, self.shift_of(rows), self.shift_of(columns))
        x = self.reshape(x, (n, rows, self.size, columns, self.size, c))
        x = self.transpose(x, (0, 1, 3, 2, 4, 5))
        return self.reshape(x, (n * rows * columns, self.size * self.size, c))

    def joined(self, windows: Tensor, n: int, h: int, w: int) -> Tensor:
        """Undoes :meth:`cut` of maps of this shape."""
        rows, columns, c = -(-h // self.size), -(-w // self.size), windows.shape[2]
        x = self.reshape(windows, (n, rows, columns, self.size, self.size, c))
        x = self.transpose(x, (0, 1, 3, 2, 4, 5))
        x = self.reshape(x, (n, rows * self.size, columns * self.size, c))
        down, across = self.shift_of(rows), self.shift_of(columns)
        x = self.roll(
            x, rows * self.size - down if down else 0, columns * self.size - across if across else 0
        )
        return x[:, :h, :w]

    def shift_of(self, windows: int) -> int:
        """Returns the shift of maps with that many windows in one direction."""
        return self.shift if windows > 1 else 0


@ops.constexpr
def strangers(h: int, w: int, size: int, down: int, across: int) -> Tensor:
    """Returns :data:`MASKED` for pairs of places that are neighbors only because of the shift.

    float32, shape (1, windows, 1, size * size, size * size), of maps of `h` x `w`, filled up.
    """
    rows, columns = -(-h // size), -(-w // size)
    regions = np.zeros((rows * size, columns * size), np.int32)
    regions += 3 * parts(rows * size, size, down)[:, None] + parts(columns * size, size, across)
    cut = regions.reshape(rows, size, columns, size).transpose(0, 2, 1, 3)
    flat = cut.reshape(rows * columns, size * size)
    differ = flat[:, None, :] != flat[:, :, None]
    return Tensor(np.where(differ, MASKED, 0.0).astype(np.float32)[None, :, None])


def parts(length: int, size: int, shift: int) -> NDArray[np.int32]:
    """Returns to which of three parts each row of shifted maps belongs: the last `shift` are 2.

    Without a shift of rows all but those of the last window are 0, and these 2: as PyTorch's
    slices ``[:-size]``, ``[-size:-0]`` and ``[-0:]`` divide them; the last one takes everything.
    """
    numbers = np.zeros(length, np.int32)
    if shift == 0:
        return numbers + 2
    numbers[length - size :] = 1
    numbers[length - shift :] = 2
    return numbers


class WindowAttention(nn.Cell):
    """Attention within windows, with biases from a table."""

    def __init__(self, width: int, heads: int, size: int, shift: int) -> None:
        super().__init__()
        self.relative_position_bias_table = zeros(
            ((2 * size - 1) ** 2, heads), "relative_position_bias_table"
        )
        self.qkv = linear(width, 3 * width)
        self.proj = linear(width, width)
        self.size, self.scale = size, (width // heads) ** -0.5
        self.windows, self.attention = Windows(size, shift), Attention(heads)
        self.biases = PositionBias(size)
        self.reshape, self.tile = ops.Reshape(), ops.Tile()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, H, W, width) of `x`, of the same shape."""
        parts = self.attention.split(self.qkv(self.windows.cut(x)))
        biases = self.biases(self.relative_position_bias_table)
        return self.attend(x, parts[0] * self.scale, parts[1], parts[2], biases)

    def attend(
        self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor, biases: Tensor
    ) -> Tensor:
        """Returns the projected attention, joined to the shape of `x`."""
        n, h, w, _ = x.shape
        down = self.windows.shift_of(-(-h // self.size))
        across = self.windows.shift_of(-(-w // self.size))
        if down or across:
            _, heads, places, _ = biases.shape
            biases = self.reshape(biases, (1, 1, heads, places, places))
            biases = biases + strangers(h, w, self.size, down, across)
            biases = self.tile(biases, (n, 1, 1, 1, 1))
            biases = self.reshape(biases, (-1, heads, places, places))
        seen = self.proj(self.attention(queries, keys, values, biases))
        return self.windows.joined(seen, n, h, w)


class CosineAttention(WindowAttention):
    """Version 2: scores are cosines, and a small network computes the table of biases."""

    def __init__(self, width: int, heads: int, size: int, shift: int) -> None:
        super().__init__(width, heads, size, shift)
        del self.relative_position_bias_table
        self.logit_scale = zeros((heads, 1, 1), "logit_scale")
        self.cpb_mlp = nn.SequentialCell(linear(2, 512), nn.ReLU(), linear(512, heads, bias=False))
        self.coordinates = Tensor(log_spaced(size)[None])
        # A bias of the keys would change nothing, so there is none.
        self.biased = Tensor(np.repeat(np.array([1, 0, 1], np.float32), width))
        self.matmul, self.bias_add = ops.MatMul(transpose_b=True), ops.BiasAdd()
        self.sum, self.rsqrt, self.maximum = ops.ReduceSum(True), ops.Rsqrt(), ops.Maximum()
        self.sigmoid, self.exp, self.minimum = ops.Sigmoid(), ops.Exp(), ops.Minimum()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, H, W, width) of `x`, of the same shape."""
        windows = self.windows.cut(x)
        count, places, width = windows.shape
        flat = self.matmul(self.reshape(windows, (count * places, width)), self.qkv.weight)
        flat = self.bias_add(flat, self.qkv.bias * self.biased)
        parts = self.attention.split(self.reshape(flat, (count, places, 3 * width)))
        scale = self.exp(self.minimum(self.logit_scale, math.log(100.0)))
        queries = self.normalize(parts[0]) * scale
        table = self.cpb_mlp(self.coordinates)
        table = self.reshape(table, (-1, table.shape[-1]))
        biases = 16 * self.sigmoid(self.biases(table))
        return self.attend(x, queries, self.normalize(parts[1]), parts[2], biases)

    def normalize(self, x: Tensor) -> Tensor:
        """Returns `x` with vectors of length 1 along the last axis.

        ``ops.L2Normalize`` takes seconds for its gradient on a CPU (MindSpore 2.10).
        """
        return x * self.rsqrt(self.maximum(self.sum(x * x, -1), 1e-24))


class Block(nn.Cell):
    """Attention and two linear layers, each normalized before it and around a shortcut."""

    ATTENTION: type[WindowAttention] = WindowAttention

    def __init__(self, width: int, heads: int, size: int, shift: int, dropped: float) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = self.ATTENTION(width, heads, size, shift)
        self.stochastic_depth = StochasticDepth(dropped)
        self.norm2 = layer_norm(width)
        self.mlp = Mlp(width, 4 * width, gelu)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, H, W, width) of `x`, of the same shape."""
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class BlockV2(Block):
    """The same, normalized after it."""

    ATTENTION = CosineAttention

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, H, W, width) of `x`, of the same shape."""
        x = x + self.stochastic_depth(self.norm1(self.attn(x)))
        return x + self.stochastic_depth(self.norm2(self.mlp(x)))


class Merging(nn.Cell):
    """Merges each 2 x 2 places into one of twice the width, normalized before or after."""

    def __init__(self, width: int, normalized_first: bool) -> None:
        super().__init__()
        self.first = normalized_first
        self.reduction = linear(4 * width, 2 * width, bias=False)
        self.norm = layer_norm(4 * width if normalized_first else 2 * width)
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, H / 2, W / 2, 2 width) of `x`: (N, H, W, width), sizes rounded up."""
        n, h, w, c = x.shape
        below, right = h % 2, w % 2
        if below or right:
            x = ops.Pad(((0, 0), (0, below), (0, right), (0, 0)))(x)
        rows, columns = (h + below) // 2, (w + right) // 2
        # Not slices with steps: on a CPU, MindSpore 2.10 fails to compute their gradients.
        x = self.transpose(self.reshape(x, (n, rows, 2, columns, 2, c)), (0, 1, 3, 4, 2, 5))
        x = self.reshape(x, (n, rows, columns, 4 * c))
        return self.reduction(self.norm(x)) if self.first else self.norm(self.reduction(x))


class SwinTransformer(nn.Cell):
    """Patches, four stages, and a linear layer on the means of the normalized last maps.

    Args:
        block: Class of the blocks.
        size: Height and width of a window, in patches (4 x 4 pixels in the first stage).
        width: Width of the first stage; each further stage doubles it.
        repeats: Number of blocks of each stage.
        dropped: Drop probability of the last block; that of the first block is 0.
        classes: Number of logits.
    """

    def __init__(
        self,
        block: type[Block],
        size: int,
        width: int,
        repeats: Four,
        dropped: float,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        patches = [conv(3, width, 4, 4, bias=True), Permute(0, 2, 3, 1), layer_norm(width)]
        layers: list[nn.Cell] = [nn.SequentialCell(patches)]
        blocks, number = sum(repeats), 0
        for stage, count in enumerate(repeats):
            cells = []
            for place in range(count):
                shift = size // 2 if place % 2 else 0
                share = dropped * number / (blocks - 1)
                cells.append(block(width, width // 32, size, shift, share))
                number += 1
            layers.append(nn.SequentialCell(cells))
            if stage < len(repeats) - 1:
                layers.append(Merging(width, normalized_first=block is Block))
                width *= 2
        self.features = nn.SequentialCell(layers)
        self.norm = layer_norm(width)
        self.permute = Permute(0, 3, 1, 2)
        self.avgpool = GlobalMean()
        self.head = linear(width, classes)

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.head(self.avgpool(self.permute(self.norm(self.features(x)))))


SWINS: dict[str, Callable[[], nn.Cell]] = {
    "swin_t": partial(SwinTransformer, Block, 7, 96, (2, 2, 6, 2), 0.2),
    "swin_s": partial(SwinTransformer, Block, 7, 96, (2, 2, 18, 2), 0.3),
    "swin_b": partial(SwinTransformer, Block, 7, 128, (2, 2, 18, 2), 0.5),
    "swin_v2_t": partial(SwinTransformer, BlockV2, 8, 96, (2, 2, 6, 2), 0.2),
    "swin_v2_s": partial(SwinTransformer, BlockV2, 8, 96, (2, 2, 18, 2), 0.3),
    "swin_v2_b": partial(SwinTransformer, BlockV2, 8, 128, (2, 2, 18, 2), 0.5),
}
"""The families by torchvision's names."""

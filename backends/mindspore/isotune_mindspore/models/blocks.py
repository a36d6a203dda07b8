"""Blocks that several families have in common, with torchvision's names inside."""

from __future__ import annotations

from collections.abc import Callable

from mindspore import Tensor, nn, ops

from isotune_mindspore.models.depthwise import Padding
from isotune_mindspore.models.layers import GlobalMean, batch_norm, conv, linear

Norm = Callable[[int], nn.Cell]
"""Makes a normalization of so many channels."""
Activation = Callable[[], nn.Cell]


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    activation: Activation | None = nn.ReLU,
    norm: Norm = batch_norm,
    groups: int = 1,
    padding: Padding | None = None,
) -> nn.SequentialCell:
    """Returns a convolution, its normalization and, unless that is None, its activation.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        kernel: Height and width of the kernel.
        stride: Stride in both directions.
        activation: Makes the activation layer, or None for no activation.
        norm: Makes the normalization layer.
        groups: Number of groups of channels.
        padding: Padding on all sides; None keeps the size of maps, except for the stride.
    """
    sides = kernel // 2 if padding is None else padding
    layers = [conv(inputs, outputs, kernel, stride, sides, groups=groups), norm(outputs)]
    return nn.SequentialCell([*layers, activation()] if activation else layers)


class SqueezeExcitation(nn.Cell):
    """Scales each map by a small network's output for the means of all maps (Hu et al., 2017)."""

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: Activation = nn.ReLU,
        scale: Activation = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = GlobalMean(keep_dims=True)
        self.fc1 = conv(channels, squeezed, 1, bias=True)
        self.fc2 = conv(squeezed, channels, 1, bias=True)
        self.activation = activation()
        self.scale_activation = scale()

    def construct(self, x: Tensor) -> Tensor:
        """Returns `x`, (N, channels, height, width), scaled."""
        squeezed = self.activation(self.fc1(self.avgpool(x)))
        return x * self.scale_activation(self.fc2(squeezed))


class Mlp(nn.SequentialCell):
    """Two linear layers around an activation, at indices 0 and 3, as with dropout at 2 and 4."""

    def __init__(self, width: int, hidden: int, activation: Activation) -> None:
        layers = [linear(width, hidden), activation(), nn.Identity(), linear(hidden, width)]
        super().__init__([*layers, nn.Identity()])


class Attention(nn.Cell):
    """Dot products, biases if any, softmax and weighted sums: all but the projections."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scores, self.weigh = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul()
        self.softmax = ops.Softmax()
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()

    def split(self, projected: Tensor) -> Tensor:
        """Returns queries, keys and values: (3, N, heads, places, width of a head)."""
        n, places, width = projected.shape
        shape = (n, places, 3, self.heads, width // (3 * self.heads))
        return self.transpose(self.reshape(projected, shape), (2, 0, 3, 1, 4))

    def construct(
        self, queries: Tensor, keys: Tensor, values: Tensor, biases: Tensor | None = None
    ) -> Tensor:
        """Returns (N, places, width); `biases` (N or 1, heads, places, places) join the scores."""
        n, heads, places, width = queries.shape
        scores = self.scores(queries, keys)
        if biases is not None:
            scores = scores + biases
        seen = self.transpose(self.weigh(self.softmax(scores), values), (0, 2, 1, 3))
        return self.reshape(seen, (n, places, heads * width))


def make_divisible(width: float, divisor: int = 8) -> int:
    """Returns the multiple of `divisor` nearest to `width`, but at least 90% of `width`.

    All MobileNets round in this way (Sandler et al., 2018, their published code).
    """
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded

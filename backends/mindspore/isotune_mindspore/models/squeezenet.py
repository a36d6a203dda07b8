"""SqueezeNet (Iandola et al., 2016), versions 1.0 and 1.1."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn, ops

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.layers import GlobalMean, conv
from isotune_mindspore.models.pooling import CeilMaxPool

FIRES = (
    (16, 64),
    (16, 64),
    (32, 128),
    (32, 128),
    (48, 192),
    (48, 192),
    (64, 256),
    (64, 256),
)
"""(squeezed channels, channels of either expansion) of each fire module: the paper's table 1."""


class Fire(nn.Cell):
    """Squeezes the channels, and expands them by 1 x 1 and by 3 x 3 convolutions."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = conv(inputs, squeezed, 1, bias=True)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = conv(squeezed, expanded, 1, bias=True)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = conv(squeezed, expanded, 3, padding=1, bias=True)
        self.expand3x3_activation = nn.ReLU()
        self.concat = ops.Concat(1)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, 2 expanded, height, width)."""
        x = self.squeeze_activation(self.squeeze(x))
        ones = self.expand1x1_activation(self.expand1x1(x))
        return self.concat((ones, self.expand3x3_activation(self.expand3x3(x))))


class SqueezeNet(nn.Cell):
    """A stem, eight fire modules, and a convolution to one map per class; logits are means.

    Args:
        stem: Number of channels of the first convolution.
        kernel: Height and width of the kernel.
        pooled: Indices of the fire modules, from 0, that follow a pooling layer.
        classes: Number of logits.
    """

    def __init__(
        self, stem: int, kernel: int, pooled: tuple[int, int, int], classes: int = 1000
    ) -> None:
        super().__init__()
        layers: list[nn.Cell] = [conv(3, stem, kernel, 2, bias=True), nn.ReLU()]
        inputs = stem
        for number, (squeezed, expanded) in enumerate(FIRES):
            if number in pooled:
                layers.append(CeilMaxPool(3))
            layers.append(Fire(inputs, squeezed, expanded))
            inputs = 2 * expanded
        self.features = nn.SequentialCell(layers)
        self.classifier = nn.SequentialCell(
            [Dropout(0.5), conv(inputs, classes, 1, bias=True), nn.ReLU(), GlobalMean()]
        )

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.features(x))


SQUEEZENETS: dict[str, Callable[[], nn.Cell]] = {
    "squeezenet1_0": partial(SqueezeNet, 96, 7, (0, 3, 7)),
    "squeezenet1_1": partial(SqueezeNet, 64, 3, (0, 2, 4)),
}
"""The family by torchvision's names."""

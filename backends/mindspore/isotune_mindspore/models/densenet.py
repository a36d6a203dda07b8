"""DenseNet (Huang et al., "Densely connected convolutional networks", 2016)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn, ops

from isotune_mindspore.models.layers import GlobalMean, batch_norm, conv, linear

BOTTLENECK = 4
"""Times the growth: the channels between a layer's two convolutions."""


class DenseLayer(nn.Cell):
    """Appends `growth` maps to its input."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = batch_norm(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = conv(inputs, BOTTLENECK * growth, 1)
        self.norm2 = batch_norm(BOTTLENECK * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = conv(BOTTLENECK * growth, growth, 3, padding=1)
        self.concat = ops.Concat(1)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, inputs + growth, height, width)."""
        new = self.conv1(self.relu1(self.norm1(x)))
        return self.concat((x, self.conv2(self.relu2(self.norm2(new)))))


def dense_block(inputs: int, growth: int, layers: int) -> nn.SequentialCell:
    """Returns `layers` layers; each takes the maps of all layers before it."""
    cells = [(f"denselayer{i + 1}", DenseLayer(inputs + i * growth, growth)) for i in range(layers)]
    return nn.SequentialCell(OrderedDict(cells))


def transition(inputs: int) -> nn.SequentialCell:
    """Returns a transition, which halves channels, height and width."""
    return nn.SequentialCell(
        OrderedDict(
            norm=batch_norm(inputs),
            relu=nn.ReLU(),
            conv=conv(inputs, inputs // 2, 1),
            pool=nn.AvgPool2d(2, 2),
        )
    )


class DenseNet(nn.Cell):
    """A stem, four dense blocks, and a linear layer on the means of the last maps.

    Images need at least 29 x 29 pixels.
    """

    def __init__(
        self, growth: int, blocks: tuple[int, int, int, int], stem: int, classes: int = 1000
    ) -> None:
        super().__init__()
        cells: OrderedDict[str, nn.Cell] = OrderedDict(
            conv0=conv(3, stem, 7, 2, padding=3),
            norm0=batch_norm(stem),
            relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, 2, pad_mode="pad", padding=1),
        )
        width = stem
        for number, layers in enumerate(blocks, 1):
            cells[f"denseblock{number}"] = dense_block(width, growth, layers)
            width += layers * growth
            if number < len(blocks):
                cells[f"transition{number}"] = transition(width)
                width //= 2
        cells["norm5"] = batch_norm(width)
        self.features = nn.SequentialCell(cells)
        self.relu = nn.ReLU()
        self.avgpool = GlobalMean()
        self.classifier = linear(width, classes)

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.avgpool(self.relu(self.features(x))))


DENSENETS: dict[str, Callable[[], nn.Cell]] = {
    "densenet121": partial(DenseNet, 32, (6, 12, 24, 16), 64),
    "densenet161": partial(DenseNet, 48, (6, 12, 36, 24), 96),
    "densenet169": partial(DenseNet, 32, (6, 12, 32, 32), 64),
    "densenet201": partial(DenseNet, 32, (6, 12, 48, 32), 64),
}
"""The family by torchvision's names: the paper's table 1."""

"""MobileNetV3 (Howard et al., "Searching for MobileNetV3", 2019)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.blocks import SqueezeExcitation, conv_norm, make_divisible
from isotune_mindspore.models.layers import GlobalMean, batch_norm, linear

Row = tuple[int, int, int, bool, type[nn.Cell], int]

norm = partial(batch_norm, eps=1e-3, momentum=0.01)

LARGE: tuple[Row, ...] = (
    (3, 16, 16, False, nn.ReLU, 1),
    (3, 64, 24, False, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 1),
    (5, 72, 40, True, nn.ReLU, 2),
    (5, 120, 40, True, nn.ReLU, 1),
    (5, 120, 40, True, nn.ReLU, 1),
    (3, 240, 80, False, nn.HSwish, 2),
    (3, 200, 80, False, nn.HSwish, 1),
    (3, 184, 80, False, nn.HSwish, 1),
    (3, 184, 80, False, nn.HSwish, 1),
    (3, 480, 112, True, nn.HSwish, 1),
    (3, 672, 112, True, nn.HSwish, 1),
    (5, 672, 160, True, nn.HSwish, 2),
    (5, 960, 160, True, nn.HSwish, 1),
    (5, 960, 160, True, nn.HSwish, 1),
)
SMALL: tuple[Row, ...] = (
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.HSwish, 2),
    (5, 240, 40, True, nn.HSwish, 1),
    (5, 240, 40, True, nn.HSwish, 1),
    (5, 120, 48, True, nn.HSwish, 1),
    (5, 144, 48, True, nn.HSwish, 1),
    (5, 288, 96, True, nn.HSwish, 2),
    (5, 576, 96, True, nn.HSwish, 1),
    (5, 576, 96, True, nn.HSwish, 1),
)
"""(kernel, expanded channels, channels, squeeze and excitation, activation, stride) of each block:
the paper's tables 1 and 2."""

STEM = 16


class InvertedResidual(nn.Cell):
    """Expand, convolve each channel, scale the channels, project without an activation."""

    def __init__(self, inputs: int, row: Row) -> None:
        super().__init__()
        kernel, width, outputs, weighs, activation, stride = row
        layers: list[nn.Cell] = []
        if width != inputs:
            layers.append(conv_norm(inputs, width, 1, activation=activation, norm=norm))
        layers.append(conv_norm(width, width, kernel, stride, activation, norm, groups=width))
        if weighs:
            squeezed = make_divisible(width // 4)
            layers.append(SqueezeExcitation(width, squeezed, scale=nn.HSigmoid))
        layers.append(conv_norm(width, outputs, 1, activation=None, norm=norm))
        self.block = nn.SequentialCell(layers)
        self.residual = stride == 1 and inputs == outputs

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H / stride, W / stride)."""
        return x + self.block(x) if self.residual else self.block(x)


class MobileNetV3(nn.Cell):
    """A stem, inverted residuals, and two linear layers on the means of the last maps."""

    def __init__(self, rows: tuple[Row, ...], hidden: int, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Cell] = [conv_norm(3, STEM, 3, 2, nn.HSwish, norm)]
        inputs = STEM
        for row in rows:
            layers.append(InvertedResidual(inputs, row))
            inputs = row[2]
        layers.append(conv_norm(inputs, 6 * inputs, 1, activation=nn.HSwish, norm=norm))
        self.features = nn.SequentialCell(layers)
        self.avgpool = GlobalMean()
        self.classifier = nn.SequentialCell(
            linear(6 * inputs, hidden), nn.HSwish(), Dropout(0.2), linear(hidden, classes)
        )

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.avgpool(self.features(x)))


MOBILENETS_V3: dict[str, Callable[[], nn.Cell]] = {
    "mobilenet_v3_large": partial(MobileNetV3, LARGE, 1280),
    "mobilenet_v3_small": partial(MobileNetV3, SMALL, 1024),
}
"""The family by torchvision's names."""

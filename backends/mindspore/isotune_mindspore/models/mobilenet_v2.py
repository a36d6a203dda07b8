"""MobileNetV2 (Sandler et al., "Inverted residuals and linear bottlenecks", 2018)."""

from __future__ import annotations

from mindspore import Tensor, nn

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.blocks import conv_norm
from isotune_mindspore.models.layers import GlobalMean, batch_norm, conv, linear

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""(expansion, channels, repeats, stride of the first block) of each stage: the paper's table 2."""

LAST = 1280


class InvertedResidual(nn.Cell):
    """Expand, convolve each channel, project without an activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        layers = [conv_norm(width, width, 3, stride, nn.ReLU6, groups=width)]
        if expansion != 1:
            layers.insert(0, conv_norm(inputs, width, 1, activation=nn.ReLU6))
        self.conv = nn.SequentialCell([*layers, conv(width, outputs, 1), batch_norm(outputs)])
        self.residual = stride == 1 and inputs == outputs

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H / stride, W / stride)."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Cell):
    """torchvision's ``mobilenet_v2``."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Cell] = [conv_norm(3, 32, 3, 2, nn.ReLU6)]
        inputs = 32
        for expansion, channels, repeats, stride in STAGES:
            for block in range(repeats):
                first = stride if block == 0 else 1
                layers.append(InvertedResidual(inputs, channels, first, expansion))
                inputs = channels
        layers.append(conv_norm(inputs, LAST, 1, activation=nn.ReLU6))
        self.features = nn.SequentialCell(layers)
        self.avgpool = GlobalMean()
        self.classifier = nn.SequentialCell([Dropout(0.2), linear(LAST, classes)])

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.avgpool(self.features(x)))

"""MNASNet-B1 (Tan et al., "Platform-aware neural architecture search for mobile", 2018)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.blocks import make_divisible
from isotune_mindspore.models.layers import GlobalMean, batch_norm, conv, linear

norm = partial(batch_norm, momentum=1 - 0.9997)

STEM, SEPARABLE = 32, 16
STAGES = (
    (3, 24, 3, 3, 2),
    (3, 40, 3, 5, 2),
    (6, 80, 3, 5, 2),
    (6, 96, 2, 3, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
"""(expansion, channels, repeats, kernel, first stride) of each stage: the paper's figure 7."""

LAST = 1280


def pointwise(inputs: int, outputs: int) -> list[nn.Cell]:
    """Returns a 1 x 1 convolution with BatchNorm."""
    return [conv(inputs, outputs, 1), norm(outputs)]


def depthwise(channels: int, kernel: int, stride: int) -> list[nn.Cell]:
    """Returns a convolution of each channel, with BatchNorm and ReLU."""
    convolution = conv(channels, channels, kernel, stride, kernel // 2, groups=channels)
    return [convolution, norm(channels), nn.ReLU()]


class InvertedResidual(nn.Cell):
    """Expand, convolve each channel, project without an activation."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.layers = nn.SequentialCell(
            [
                *pointwise(inputs, width),
                nn.ReLU(),
                *depthwise(width, kernel, stride),
                *pointwise(width, outputs),
            ]
        )
        self.residual = stride == 1 and inputs == outputs

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H / stride, W / stride)."""
        return x + self.layers(x) if self.residual else self.layers(x)


def stage(
    inputs: int, expansion: int, channels: int, repeats: int, kernel: int, stride: int
) -> nn.SequentialCell:
    """Returns `repeats` blocks; the first one has the stride."""
    rest = [InvertedResidual(channels, channels, expansion, kernel, 1) for _ in range(repeats - 1)]
    return nn.SequentialCell([InvertedResidual(inputs, channels, expansion, kernel, stride), *rest])


class MNASNet(nn.Cell):
    """A stem, six stages, and a linear layer on the means of the last maps."""

    def __init__(self, alpha: float, classes: int = 1000) -> None:
        super().__init__()
        stem, inputs = make_divisible(STEM * alpha), make_divisible(SEPARABLE * alpha)
        layers: list[nn.Cell] = [conv(3, stem, 3, 2, padding=1), norm(stem), nn.ReLU()]
        layers += [*depthwise(stem, 3, 1), *pointwise(stem, inputs)]
        for expansion, width, repeats, kernel, stride in STAGES:
            channels = make_divisible(width * alpha)
            layers.append(stage(inputs, expansion, channels, repeats, kernel, stride))
            inputs = channels
        layers += [*pointwise(inputs, LAST), nn.ReLU()]
        self.layers = nn.SequentialCell(layers)
        self.avgpool = GlobalMean()
        self.classifier = nn.SequentialCell([Dropout(0.2), linear(LAST, classes)])

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.avgpool(self.layers(x)))


MNASNETS: dict[str, Callable[[], nn.Cell]] = {
    "mnasnet0_5": partial(MNASNet, 0.5),
    "mnasnet0_75": partial(MNASNet, 0.75),
    "mnasnet1_0": partial(MNASNet, 1.0),
    "mnasnet1_3": partial(MNASNet, 1.3),
}
"""The family by torchvision's names: how many times the channels of the paper's."""

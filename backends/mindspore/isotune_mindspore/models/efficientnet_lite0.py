"""EfficientNet-Lite0: EfficientNet without squeeze-and-excitation and with ReLU6.

After R. Liu, "Higher accuracy on vision models with EfficientNet-Lite" (TensorFlow blog, 2020),
with the names of torchvision's EfficientNets. Every convolution pads as TensorFlow's SAME does.
"""

from __future__ import annotations

from functools import partial

from mindspore import Tensor, nn

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.blocks import conv_norm
from isotune_mindspore.models.layers import GlobalMean, batch_norm, linear

STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""(expansion, channels, repeats, stride of the first block, kernel) of each stage."""

STEM, LAST = 32, 1280


# TensorFlow's momentum of 0.99 is PyTorch's 0.01.
norm = partial(batch_norm, eps=1e-3, momentum=0.01)
convolve = partial(conv_norm, activation=nn.ReLU6, norm=norm, padding="same")


class Block(nn.Cell):
    """Expand, convolve each channel, project without an activation."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        width = inputs * expansion
        layers = [convolve(width, width, kernel, stride, groups=width)]
        if expansion != 1:
            layers.insert(0, convolve(inputs, width, 1))
        layers.append(convolve(width, outputs, 1, activation=None))
        self.block = nn.SequentialCell(layers)
        self.residual = stride == 1 and inputs == outputs

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H / stride, W / stride), sizes rounded up."""
        return x + self.block(x) if self.residual else self.block(x)


def stage(
    inputs: int, expansion: int, channels: int, repeats: int, stride: int, kernel: int
) -> nn.SequentialCell:
    """Returns `repeats` blocks; the first one has the stride."""
    blocks = [Block(inputs, channels, expansion, stride, kernel)]
    blocks += [Block(channels, channels, expansion, 1, kernel) for _ in range(repeats - 1)]
    return nn.SequentialCell(blocks)


class EfficientNetLite0(nn.Cell):
    """Seven stages of inverted residuals between two convolutions, and a linear layer."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Cell] = [convolve(3, STEM, 3, 2)]
        inputs = STEM
        for expansion, channels, repeats, stride, kernel in STAGES:
            layers.append(stage(inputs, expansion, channels, repeats, stride, kernel))
            inputs = channels
        layers.append(convolve(inputs, LAST, 1))
        self.features = nn.SequentialCell(layers)
        self.avgpool = GlobalMean()
        self.classifier = nn.SequentialCell([Dropout(0.2), linear(LAST, classes)])

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.avgpool(self.features(x)))

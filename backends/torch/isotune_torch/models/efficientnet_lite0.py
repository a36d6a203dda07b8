"""EfficientNet-Lite0, which torchvision lacks.

The network is EfficientNet-B0 (Tan and Le, 2019, https://arxiv.org/abs/1905.11946) without
squeeze-and-excitation and with ReLU6 for swish, as TensorFlow's "lite" variants define it
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). Names follow
torchvision's EfficientNet.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Stage(NamedTuple):
    """A row of the paper's table 1: blocks of one width, the first with the stride."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int


STEM_CHANNELS = 32
STAGES = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)
FEATURES = 1280
DROPOUT = 0.2

# TensorFlow's constants; its momentum of 0.99 is PyTorch's 0.01.
BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.01


class SamePaddingConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: ``ceil(size / stride)`` outputs.

    An odd number of padding rows puts the extra one at the end, so that a stride of 2 needs
    more padding at the bottom and right than at the top and left, depending on the size.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns (N, out_channels, ceil(H / stride), ceil(W / stride)) from (N, C, H, W)."""
        top, bottom = self._padding(input.shape[-2])
        left, right = self._padding(input.shape[-1])
        if (top, left) == (bottom, right):
            return functional.conv2d(
                input, self.weight, self.bias, self.stride, (top, left), groups=self.groups
            )
        padded = functional.pad(input, (left, right, top, bottom))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)

    def _padding(self, size: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    """Returns a convolution, BatchNorm and, by default, ReLU6."""
    layers: list[nn.Module] = [
        SamePaddingConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM),
    ]
    if activation:
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, convolve each channel, project back."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(convolution(inputs, width))
        layers.append(convolution(width, width, kernel, stride, groups=width))
        layers.append(convolution(width, outputs, activation=False))
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, input: Tensor) -> Tensor:
        """Returns (N, outputs, ceil(H / stride), ceil(W / stride)) from (N, inputs, H, W)."""
        output: Tensor = self.block(input)
        return input + output if self.residual else output


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 for 1000 classes, meant for images of 224 x 224."""

    def __init__(self) -> None:
        super().__init__()
        features: list[nn.Module] = [convolution(3, STEM_CHANNELS, kernel=3, stride=2)]
        inputs = STEM_CHANNELS
        for expansion, outputs, repeats, stride, kernel in STAGES:
            blocks: list[nn.Module] = []
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(InvertedResidual(inputs, outputs, expansion, kernel, step))
                inputs = outputs
            features.append(nn.Sequential(*blocks))
        features.append(convolution(inputs, FEATURES))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(FEATURES, 1000))

    def forward(self, input: Tensor) -> Tensor:
        """Returns logits, float32 (N, 1000), from normalized images, float32 (N, 3, H, W)."""
        pooled = self.avgpool(self.features(input))
        logits: Tensor = self.classifier(torch.flatten(pooled, 1))
        return logits

"""EfficientNet (Tan and Le, 2019) and EfficientNetV2 (Tan and Le, 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mindspore import Tensor, nn

from isotune_mindspore.dropout import Dropout, StochasticDepth
from isotune_mindspore.models.blocks import (
    Norm,
    SqueezeExcitation,
    conv_norm,
    make_divisible,
)
from isotune_mindspore.models.layers import GlobalMean, batch_norm, linear

DROPPED = 0.2
"""With what probability the last block is dropped; the first never is."""


@dataclass(frozen=True)
class Stage:
    """Blocks of one kind.

    Attributes:
        expansion: Factor of the channels within a block.
        kernel: Height and width of the kernel.
        stride: Stride of the first block.
        inputs: Number of input channels.
        outputs: Number of output channels.
        repeats: Number of blocks.
        fused: Whether one convolution expands and also has the kernel.
    """

    expansion: int
    kernel: int
    stride: int
    inputs: int
    outputs: int
    repeats: int
    fused: bool = False

    def scaled(self, width: float, depth: float) -> Stage:
        """Returns the stage with scaled numbers of channels and blocks."""
        return Stage(
            self.expansion,
            self.kernel,
            self.stride,
            make_divisible(self.inputs * width),
            make_divisible(self.outputs * width),
            math.ceil(self.repeats * depth),
        )


B0 = (
    Stage(1, 3, 1, 32, 16, 1),
    Stage(6, 3, 2, 16, 24, 2),
    Stage(6, 5, 2, 24, 40, 2),
    Stage(6, 3, 2, 40, 80, 3),
    Stage(6, 5, 1, 80, 112, 3),
    Stage(6, 5, 2, 112, 192, 4),
    Stage(6, 3, 1, 192, 320, 1),
)
"""EfficientNet-B0: the first paper's table 1."""

V2_S = (
    Stage(1, 3, 1, 24, 24, 2, fused=True),
    Stage(4, 3, 2, 24, 48, 4, fused=True),
    Stage(4, 3, 2, 48, 64, 4, fused=True),
    Stage(4, 3, 2, 64, 128, 6),
    Stage(6, 3, 1, 128, 160, 9),
    Stage(6, 3, 2, 160, 256, 15),
)
V2_M = (
    Stage(1, 3, 1, 24, 24, 3, fused=True),
    Stage(4, 3, 2, 24, 48, 5, fused=True),
    Stage(4, 3, 2, 48, 80, 5, fused=True),
    Stage(4, 3, 2, 80, 160, 7),
    Stage(6, 3, 1, 160, 176, 14),
    Stage(6, 3, 2, 176, 304, 18),
    Stage(6, 3, 1, 304, 512, 5),
)
V2_L = (
    Stage(1, 3, 1, 32, 32, 4, fused=True),
    Stage(4, 3, 2, 32, 64, 7, fused=True),
    Stage(4, 3, 2, 64, 96, 7, fused=True),
    Stage(4, 3, 2, 96, 192, 10),
    Stage(6, 3, 1, 192, 224, 19),
    Stage(6, 3, 2, 224, 384, 25),
    Stage(6, 3, 1, 384, 640, 7),
)
"""EfficientNetV2: the second paper's table 4, and its published code."""


class MBConv(nn.Cell):
    """Expand, convolve each channel, scale the channels, project without an activation."""

    def __init__(self, stage: Stage, inputs: int, stride: int, dropped: float, norm: Norm) -> None:
        super().__init__()
        self.block = nn.SequentialCell(self.layers(stage, inputs, stride, norm))
        self.stochastic_depth = StochasticDepth(dropped)
        self.residual = stride == 1 and inputs == stage.outputs

    def layers(self, stage: Stage, inputs: int, stride: int, norm: Norm) -> list[nn.Cell]:
        """Returns the layers that the shortcut skips."""
        width = make_divisible(inputs * stage.expansion)
        convolve = partial(conv_norm, activation=nn.SiLU, norm=norm)
        layers: list[nn.Cell] = [convolve(width, width, stage.kernel, stride, groups=width)]
        if width != inputs:
            layers.insert(0, convolve(inputs, width, 1))
        layers.append(SqueezeExcitation(width, max(1, inputs // 4), activation=nn.SiLU))
        return [*layers, conv_norm(width, stage.outputs, 1, activation=None, norm=norm)]

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H / stride, W / stride)."""
        return x + self.stochastic_depth(self.block(x)) if self.residual else self.block(x)


class FusedMBConv(MBConv):
    """One convolution that expands, and a projection without an activation."""

    def layers(self, stage: Stage, inputs: int, stride: int, norm: Norm) -> list[nn.Cell]:
        """Returns the layers that the shortcut skips."""
        width = make_divisible(inputs * stage.expansion)
        if width == inputs:
            return [conv_norm(inputs, stage.outputs, stage.kernel, stride, nn.SiLU, norm)]
        return [
            conv_norm(inputs, width, stage.kernel, stride, nn.SiLU, norm),
            conv_norm(width, stage.outputs, 1, activation=None, norm=norm),
        ]


class EfficientNet(nn.Cell):
    """A stem, stages, and a linear layer on the means of the last maps.

    Args:
        stages: The stages of blocks.
        dropout: Probability of dropout before the linear layer.
        last: Number of channels of the last maps; None for four times that of the last stage.
        norm: Makes a normalization layer.
        classes: Number of logits.
    """

    def __init__(
        self,
        stages: tuple[Stage, ...],
        dropout: float,
        last: int | None = None,
        norm: Norm = batch_norm,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        blocks, number = sum(stage.repeats for stage in stages), 0
        layers: list[nn.Cell] = [conv_norm(3, stages[0].inputs, 3, 2, nn.SiLU, norm)]
        for stage in stages:
            kind = FusedMBConv if stage.fused else MBConv
            cells = []
            for place in range(stage.repeats):
                inputs, stride = (stage.outputs, 1) if place else (stage.inputs, stage.stride)
                cells.append(kind(stage, inputs, stride, DROPPED * number / blocks, norm))
                number += 1
            layers.append(nn.SequentialCell(cells))
        inputs = stages[-1].outputs
        last = last or 4 * inputs
        layers.append(conv_norm(inputs, last, 1, activation=nn.SiLU, norm=norm))
        self.features = nn.SequentialCell(layers)
        self.avgpool = GlobalMean()
        self.classifier = nn.SequentialCell([Dropout(dropout), linear(last, classes)])

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.avgpool(self.features(x)))


def first(width: float, depth: float, dropout: float, norm: Norm) -> Callable[[], nn.Cell]:
    """Returns a builder of B0 with scaled numbers of channels and blocks."""
    stages = tuple(stage.scaled(width, depth) for stage in B0)
    return partial(EfficientNet, stages, dropout, norm=norm)


def second(stages: tuple[Stage, ...], dropout: float) -> Callable[[], nn.Cell]:
    """Returns a builder of an EfficientNetV2."""
    return partial(EfficientNet, stages, dropout, 1280, partial(batch_norm, eps=1e-3))


slow = partial(batch_norm, eps=1e-3, momentum=0.01)
"""The BatchNorm of the models from B5 on, as their weights were trained."""

EFFICIENTNETS: dict[str, Callable[[], nn.Cell]] = {
    "efficientnet_b0": first(1.0, 1.0, 0.2, batch_norm),
    "efficientnet_b1": first(1.0, 1.1, 0.2, batch_norm),
    "efficientnet_b2": first(1.1, 1.2, 0.3, batch_norm),
    "efficientnet_b3": first(1.2, 1.4, 0.3, batch_norm),
    "efficientnet_b4": first(1.4, 1.8, 0.4, batch_norm),
    "efficientnet_b5": first(1.6, 2.2, 0.4, slow),
    "efficientnet_b6": first(1.8, 2.6, 0.5, slow),
    "efficientnet_b7": first(2.0, 3.1, 0.5, slow),
    "efficientnet_v2_s": second(V2_S, 0.2),
    "efficientnet_v2_m": second(V2_M, 0.3),
    "efficientnet_v2_l": second(V2_L, 0.4),
}
"""The families by torchvision's names."""

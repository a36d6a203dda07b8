"""RegNet X and Y (Radosavovic et al., "Designing network design spaces", 2020)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
from mindspore import Tensor, nn

from isotune_mindspore.models.blocks import SqueezeExcitation, conv_norm, make_divisible
from isotune_mindspore.models.layers import GlobalMean, linear

STEM = 32


@dataclass(frozen=True)
class Design:
    """The numbers from which a network follows: the paper's equations 2 to 4.

    Attributes:
        depth: Total number of blocks.
        initial: Initial width.
        slope: Increase of the width per block.
        step: Ratio of the widths of two neighboring stages.
        group: Number of channels per group of the 3 x 3 convolutions.
        squeeze: Ratio of squeeze-and-excitation channels to a block's input; 0 for none.
    """

    depth: int
    initial: int
    slope: float
    step: float
    group: int
    squeeze: float = 0.0

    def stages(self) -> Iterator[tuple[int, int, int]]:
        """Yields (width, blocks, channels per group) of each stage."""
        line = np.arange(self.depth) * self.slope + self.initial
        exponents = np.round(np.log(line / self.initial) / np.log(self.step))
        widths = np.round(self.initial * self.step**exponents / 8) * 8
        for width, blocks in groupby(int(width) for width in widths):
            group = min(self.group, width)
            yield make_divisible(width, group), len(list(blocks)), group


class Block(nn.Cell):
    """1 x 1, 3 x 3 with groups, and 1 x 1 convolutions around a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, group: int, squeeze: float) -> None:
        super().__init__()
        self.proj = None
        if inputs != width or stride != 1:
            self.proj = conv_norm(inputs, width, 1, stride, activation=None)
        cells = OrderedDict(
            a=conv_norm(inputs, width, 1),
            b=conv_norm(width, width, 3, stride, groups=width // group),
        )
        if squeeze:
            cells["se"] = SqueezeExcitation(width, round(squeeze * inputs))
        cells["c"] = conv_norm(width, width, 1, activation=None)
        self.f = nn.SequentialCell(cells)
        self.activation = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, width, H / stride, W / stride)."""
        shortcut = x if self.proj is None else self.proj(x)
        return self.activation(shortcut + self.f(x))


class RegNet(nn.Cell):
    """A stem, four stages, and a linear layer on the means of the last maps."""

    def __init__(self, design: Design, classes: int = 1000) -> None:
        super().__init__()
        self.stem = conv_norm(3, STEM, 3, 2)
        inputs, stages = STEM, OrderedDict()
        for number, (width, blocks, group) in enumerate(design.stages(), 1):
            cells = OrderedDict()
            for place in range(blocks):
                stride = 1 if place else 2
                cells[f"block{number}-{place}"] = Block(
                    inputs, width, stride, group, design.squeeze
                )
                inputs = width
            stages[f"block{number}"] = nn.SequentialCell(cells)
        self.trunk_output = nn.SequentialCell(stages)
        self.avgpool = GlobalMean()
        self.fc = linear(inputs, classes)

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.fc(self.avgpool(self.trunk_output(self.stem(x))))


DESIGNS = {
    "regnet_x_400mf": Design(22, 24, 24.48, 2.54, 16),
    "regnet_x_800mf": Design(16, 56, 35.73, 2.28, 16),
    "regnet_x_1_6gf": Design(18, 80, 34.01, 2.25, 24),
    "regnet_x_3_2gf": Design(25, 88, 26.31, 2.25, 48),
    "regnet_x_8gf": Design(23, 80, 49.56, 2.88, 120),
    "regnet_x_16gf": Design(22, 216, 55.59, 2.1, 128),
    "regnet_x_32gf": Design(23, 320, 69.86, 2.0, 168),
    "regnet_y_400mf": Design(16, 48, 27.89, 2.09, 8, 0.25),
    "regnet_y_800mf": Design(14, 56, 38.84, 2.4, 16, 0.25),
    "regnet_y_1_6gf": Design(27, 48, 20.71, 2.65, 24, 0.25),
    "regnet_y_3_2gf": Design(21, 80, 42.63, 2.66, 24, 0.25),
    "regnet_y_8gf": Design(17, 192, 76.82, 2.19, 56, 0.25),
    "regnet_y_16gf": Design(18, 200, 106.23, 2.48, 112, 0.25),
    "regnet_y_32gf": Design(20, 232, 115.89, 2.53, 232, 0.25),
    "regnet_y_128gf": Design(27, 456, 160.83, 2.52, 264, 0.25),
}
"""By torchvision's names: tables of the paper's appendix, and torchvision's for the largest."""

REGNETS: dict[str, Callable[[], nn.Cell]] = {
    name: partial(RegNet, design) for name, design in DESIGNS.items()
}

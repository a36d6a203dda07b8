"""ConvNeXt (Liu et al., "A ConvNet for the 2020s", 2022)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn

from isotune_mindspore.dropout import StochasticDepth
from isotune_mindspore.models.layers import (
    GlobalMean,
    LayerNorm2d,
    Permute,
    conv,
    gelu,
    layer_norm,
    linear,
    zeros,
)

Four = tuple[int, int, int, int]


class Block(nn.Cell):
    """A 7 x 7 convolution of each channel, then two linear layers over the channels."""

    def __init__(self, width: int, dropped: float) -> None:
        super().__init__()
        self.layer_scale = zeros((width, 1, 1), "layer_scale")
        self.block = nn.SequentialCell(
            conv(width, width, 7, padding=3, bias=True, groups=width),
            Permute(0, 2, 3, 1),
            layer_norm(width, 1e-6),
            linear(width, 4 * width),
            gelu(),
            linear(4 * width, width),
            Permute(0, 3, 1, 2),
        )
        self.stochastic_depth = StochasticDepth(dropped)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, width, height, width)."""
        return x + self.stochastic_depth(self.layer_scale * self.block(x))


class ConvNeXt(nn.Cell):
    """A stem, four stages, and a linear layer on the normalized means of the last maps.

    Images need at least 32 x 32 pixels.

    Args:
        widths: Number of channels of each stage.
        repeats: Number of blocks of each stage.
        dropped: Drop probability of the last block; that of the first block is 0.
        classes: Number of logits.
    """

    def __init__(self, widths: Four, repeats: Four, dropped: float, classes: int = 1000) -> None:
        super().__init__()
        stem = [conv(3, widths[0], 4, 4, bias=True), LayerNorm2d(widths[0])]
        layers: list[nn.Cell] = [nn.SequentialCell(stem)]
        blocks, number = sum(repeats), 0
        for stage, (width, count) in enumerate(zip(widths, repeats, strict=True)):
            if stage:
                before = widths[stage - 1]
                halve = [LayerNorm2d(before), conv(before, width, 2, 2, bias=True)]
                layers.append(nn.SequentialCell(halve))
            shares = [dropped * i / (blocks - 1) for i in range(number, number + count)]
            layers.append(nn.SequentialCell([Block(width, share) for share in shares]))
            number += count
        self.features = nn.SequentialCell(layers)
        self.avgpool = GlobalMean(keep_dims=True)
        self.classifier = nn.SequentialCell(
            LayerNorm2d(widths[3]), nn.Flatten(), linear(widths[3], classes)
        )

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.avgpool(self.features(x)))


CONVNEXTS: dict[str, Callable[[], nn.Cell]] = {
    "convnext_tiny": partial(ConvNeXt, (96, 192, 384, 768), (3, 3, 9, 3), 0.1),
    "convnext_small": partial(ConvNeXt, (96, 192, 384, 768), (3, 3, 27, 3), 0.4),
    "convnext_base": partial(ConvNeXt, (128, 256, 512, 1024), (3, 3, 27, 3), 0.5),
    "convnext_large": partial(ConvNeXt, (192, 384, 768, 1536), (3, 3, 27, 3), 0.5),
}
"""The family by torchvision's names."""

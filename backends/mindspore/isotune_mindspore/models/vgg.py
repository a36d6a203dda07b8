"""VGG (Simonyan and Zisserman, "Very deep convolutional networks ...", 2014), as torchvision's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.layers import batch_norm, conv, linear
from isotune_mindspore.models.pooling import AdaptiveMean

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the convolutions between two poolings: the paper's table 1."""

Repeats = tuple[int, int, int, int, int]


class VGG(nn.Cell):
    """3 x 3 convolutions in five stages that each halve the maps, and three linear layers.

    Images need at least 32 x 32 pixels.
    """

    def __init__(self, repeats: Repeats, normalized: bool, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Cell] = []
        inputs = 3
        for width, count in zip(WIDTHS, repeats, strict=True):
            for _ in range(count):
                layers.append(conv(inputs, width, 3, padding=1, bias=True))
                layers += [batch_norm(width), nn.ReLU()] if normalized else [nn.ReLU()]
                inputs = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.SequentialCell(layers)
        self.avgpool = AdaptiveMean(7)
        self.flatten = nn.Flatten()
        self.classifier = nn.SequentialCell(
            linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            Dropout(0.5),
            linear(4096, 4096),
            nn.ReLU(),
            Dropout(0.5),
            linear(4096, classes),
        )

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


REPEATS: dict[str, Repeats] = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""Convolutions of each stage: columns A, B, D and E of the paper's table 1."""

VGGS: dict[str, Callable[[], nn.Cell]] = {
    **{name: partial(VGG, repeats, False) for name, repeats in REPEATS.items()},
    **{f"{name}_bn": partial(VGG, repeats, True) for name, repeats in REPEATS.items()},
}
"""The family by torchvision's names."""

"""ShuffleNetV2 (Ma et al., "Practical guidelines for efficient CNN architecture design", 2018)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn, ops

from isotune_mindspore.models.blocks import conv_norm
from isotune_mindspore.models.layers import GlobalMean, batch_norm, conv, linear

STEM = 24
REPEATS = (4, 8, 4)


def pointwise(inputs: int, outputs: int) -> list[nn.Cell]:
    """Returns a 1 x 1 convolution with BatchNorm and ReLU."""
    return [conv(inputs, outputs, 1), batch_norm(outputs), nn.ReLU()]


def depthwise(channels: int, stride: int) -> list[nn.Cell]:
    """Returns a 3 x 3 convolution of each channel, with BatchNorm."""
    convolution = conv(channels, channels, 3, stride, padding=1, groups=channels)
    return [convolution, batch_norm(channels)]


class Shuffle(nn.Cell):
    """Interleaves the two halves of the maps."""

    def __init__(self) -> None:
        super().__init__()
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()

    def construct(self, x: Tensor) -> Tensor:
        """Returns maps 0, C / 2, 1, C / 2 + 1 ... of `x`: (N, C, height, width)."""
        n, c, h, w = x.shape
        x = self.transpose(self.reshape(x, (n, 2, c // 2, h, w)), (0, 2, 1, 3, 4))
        return self.reshape(x, (n, c, h, w))


class Unit(nn.Cell):
    """Convolves half of the maps and passes on the others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch2 = nn.SequentialCell(
            [*pointwise(half, half), *depthwise(half, 1), *pointwise(half, half)]
        )
        self.split, self.concat, self.shuffle = ops.Split(1, 2), ops.Concat(1), Shuffle()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, channels, height, width)."""
        passed, convolved = self.split(x)
        return self.shuffle(self.concat((passed, self.branch2(convolved))))


class DownUnit(nn.Cell):
    """Halves height and width, in two branches."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.branch1 = nn.SequentialCell([*depthwise(inputs, 2), *pointwise(inputs, half)])
        self.branch2 = nn.SequentialCell(
            [*pointwise(inputs, half), *depthwise(half, 2), *pointwise(half, half)]
        )
        self.concat, self.shuffle = ops.Concat(1), Shuffle()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H / 2, W / 2)."""
        return self.shuffle(self.concat((self.branch1(x), self.branch2(x))))


def stage(inputs: int, outputs: int, repeats: int) -> nn.SequentialCell:
    """Returns one unit that halves the maps, followed by units that keep their size."""
    return nn.SequentialCell(
        [DownUnit(inputs, outputs), *(Unit(outputs) for _ in range(repeats - 1))]
    )


class ShuffleNetV2(nn.Cell):
    """A stem, three stages, and a linear layer on the means of the last maps."""

    def __init__(self, widths: tuple[int, int, int], last: int, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = conv_norm(3, STEM, 3, 2)
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)
        self.stage2 = stage(STEM, widths[0], REPEATS[0])
        self.stage3 = stage(widths[0], widths[1], REPEATS[1])
        self.stage4 = stage(widths[1], widths[2], REPEATS[2])
        self.conv5 = conv_norm(widths[2], last, 1)
        self.avgpool = GlobalMean()
        self.fc = linear(last, classes)

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(x)))))
        return self.fc(self.avgpool(self.conv5(x)))


SHUFFLENETS_V2: dict[str, Callable[[], nn.Cell]] = {
    "shufflenet_v2_x0_5": partial(ShuffleNetV2, (48, 96, 192), 1024),
    "shufflenet_v2_x1_0": partial(ShuffleNetV2, (116, 232, 464), 1024),
    "shufflenet_v2_x1_5": partial(ShuffleNetV2, (176, 352, 704), 1024),
    "shufflenet_v2_x2_0": partial(ShuffleNetV2, (244, 488, 976), 2048),
}
"""The family by torchvision's names: the paper's table 5."""

"""ResNets (He et al., "Deep residual learning for image recognition", 2015).

As torchvision's: a bottleneck's stride is in its 3 x 3 convolution. With them ResNeXt (Xie et al.,
2016), whose 3 x 3 convolutions have groups, and Wide ResNet (Zagoruyko and Komodakis, 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn

from isotune_mindspore.models.layers import GlobalMean, batch_norm, conv, linear


class BasicBlock(nn.Cell):
    """Two 3 x 3 convolutions around a shortcut."""

    EXPANSION = 1

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, planes, 3, stride, padding=1)
        self.bn1 = batch_norm(planes)
        self.relu = nn.ReLU()
        self.conv2 = conv(planes, planes, 3, padding=1)
        self.bn2 = batch_norm(planes)
        self.downsample = shortcut(inputs, planes, stride)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, planes, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + identity)


class Bottleneck(nn.Cell):
    """1 x 1, 3 x 3 and 1 x 1 convolutions around a shortcut.

    The 3 x 3 convolution has `groups` of ``planes * group_width / 64`` channels each.
    """

    EXPANSION = 4

    def __init__(
        self, inputs: int, planes: int, stride: int, groups: int = 1, group_width: int = 64
    ) -> None:
        super().__init__()
        width, outputs = planes * group_width // 64 * groups, planes * self.EXPANSION
        self.conv1 = conv(inputs, width, 1)
        self.bn1 = batch_norm(width)
        self.conv2 = conv(width, width, 3, stride, padding=1, groups=groups)
        self.bn2 = batch_norm(width)
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = batch_norm(outputs)
        self.relu = nn.ReLU()
        self.downsample = shortcut(inputs, outputs, stride)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, 4 planes, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + identity)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Cell | None:
    """Returns the projection of a shortcut, or None where the shortcut is the identity."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.SequentialCell([conv(inputs, outputs, 1, stride), batch_norm(outputs)])


Block = Callable[[int, int, int], nn.Cell]
"""Makes a block from the channels of its input, its planes and its stride."""


class ResNet(nn.Cell):
    """A stem, four stages, and a linear layer on the means of the last maps."""

    def __init__(
        self,
        block: Block,
        repeats: tuple[int, ...],
        expansion: int,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.conv1 = conv(3, 64, 7, 2, padding=3)
        self.bn1 = batch_norm(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)
        self.layer1 = stage(block, 64, 64, expansion, repeats[0], 1)
        self.layer2 = stage(block, 64 * expansion, 128, expansion, repeats[1], 2)
        self.layer3 = stage(block, 128 * expansion, 256, expansion, repeats[2], 2)
        self.layer4 = stage(block, 256 * expansion, 512, expansion, repeats[3], 2)
        self.avgpool = GlobalMean()
        self.fc = linear(512 * expansion, classes)

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x))


def stage(
    block: Block, inputs: int, planes: int, expansion: int, repeats: int, stride: int
) -> nn.SequentialCell:
    """Returns `repeats` blocks; the first one has the stride."""
    rest = [block(planes * expansion, planes, 1) for _ in range(repeats - 1)]
    return nn.SequentialCell([block(inputs, planes, stride), *rest])


def basic(*repeats: int) -> Callable[[], nn.Cell]:
    """Returns a builder of a ResNet of basic blocks."""
    return partial(ResNet, BasicBlock, repeats, BasicBlock.EXPANSION)


def bottlenecks(*repeats: int, groups: int = 1, group_width: int = 64) -> Callable[[], nn.Cell]:
    """Returns a builder of a ResNet of bottlenecks."""
    block = partial(Bottleneck, groups=groups, group_width=group_width)
    return partial(ResNet, block, repeats, Bottleneck.EXPANSION)


RESNETS: dict[str, Callable[[], nn.Cell]] = {
    "resnet18": basic(2, 2, 2, 2),
    "resnet34": basic(3, 4, 6, 3),
    "resnet50": bottlenecks(3, 4, 6, 3),
    "resnet101": bottlenecks(3, 4, 23, 3),
    "resnet152": bottlenecks(3, 8, 36, 3),
    "resnext50_32x4d": bottlenecks(3, 4, 6, 3, groups=32, group_width=4),
    "resnext101_32x8d": bottlenecks(3, 4, 23, 3, groups=32, group_width=8),
    "resnext101_64x4d": bottlenecks(3, 4, 23, 3, groups=64, group_width=4),
    "wide_resnet50_2": bottlenecks(3, 4, 6, 3, group_width=128),
    "wide_resnet101_2": bottlenecks(3, 4, 23, 3, group_width=128),
}
"""The families by torchvision's names."""

"""ResNets (He et al., "Deep residual learning for image recognition", 2015).

As torchvision's: a bottleneck's stride is in its 3 x 3 convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn

from isotune_mindspore.models.layers import GlobalMean, batch_norm, conv, linear


class BasicBlock(nn.Cell):
    """Two 3 x 3 convolutions around a shortcut."""

    EXPANSION = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride, padding=1)
        self.bn1 = batch_norm(width)
        self.relu = nn.ReLU()
        self.conv2 = conv(width, width, 3, padding=1)
        self.bn2 = batch_norm(width)
        self.downsample = shortcut(inputs, width, stride)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, width, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + identity)


class Bottleneck(nn.Cell):
    """1 x 1, 3 x 3 and 1 x 1 convolutions around a shortcut."""

    EXPANSION = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.EXPANSION
        self.conv1 = conv(inputs, width, 1)
        self.bn1 = batch_norm(width)
        self.conv2 = conv(width, width, 3, stride, padding=1)
        self.bn2 = batch_norm(width)
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = batch_norm(outputs)
        self.relu = nn.ReLU()
        self.downsample = shortcut(inputs, outputs, stride)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, 4 width, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + identity)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Cell | None:
    """Returns the projection of a shortcut, or None where the shortcut is the identity."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.SequentialCell([conv(inputs, outputs, 1, stride), batch_norm(outputs)])


class ResNet(nn.Cell):
    """A stem, four stages, and a linear layer on the means of the last maps."""

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        repeats: tuple[int, int, int, int],
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.conv1 = conv(3, 64, 7, 2, padding=3)
        self.bn1 = batch_norm(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)
        self.layer1 = stage(block, 64, 64, repeats[0], 1)
        self.layer2 = stage(block, 64 * block.EXPANSION, 128, repeats[1], 2)
        self.layer3 = stage(block, 128 * block.EXPANSION, 256, repeats[2], 2)
        self.layer4 = stage(block, 256 * block.EXPANSION, 512, repeats[3], 2)
        self.avgpool = GlobalMean()
        self.fc = linear(512 * block.EXPANSION, classes)

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of pictures (N, 3, height, width)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x))


def stage(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, width: int, repeats: int, stride: int
) -> nn.SequentialCell:
    """Returns `repeats` blocks, the first of which has the stride."""
    outputs = width * block.EXPANSION
    rest = [block(outputs, width, 1) for _ in range(repeats - 1)]
    return nn.SequentialCell([block(inputs, width, stride), *rest])


RESNETS: dict[str, Callable[[], nn.Cell]] = {
    "resnet18": partial(ResNet, BasicBlock, (2, 2, 2, 2)),
    "resnet34": partial(ResNet, BasicBlock, (3, 4, 6, 3)),
    "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3)),
    "resnet101": partial(ResNet, Bottleneck, (3, 4, 23, 3)),
    "resnet152": partial(ResNet, Bottleneck, (3, 8, 36, 3)),
}
"""The family by torchvision's names."""

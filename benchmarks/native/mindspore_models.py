"""ResNet-18, ResNet-50 and MobileNetV2 from MindSpore's standard cells.

Their parameters have torchvision's names in MindSpore's spelling (gamma, beta, moving_mean,
moving_variance), so that a ``.ckpt`` converted from torchvision's weights loads.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import HeNormal


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        inputs,
        outputs,
        kernel,
        stride,
        pad_mode="pad",
        padding=kernel // 2,
        group=group,
        weight_init=HeNormal(mode="fan_out", nonlinearity="relu"),
    )


class Block(nn.Cell):
    """A residual block of two 3 x 3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = projection(inputs, width, stride)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + (self.downsample(x) if self.downsample is not None else x))


class WideBlock(nn.Cell):
    """A residual block that narrows, convolves 3 x 3 and widens again."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.downsample = projection(inputs, 4 * width, stride)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (self.downsample(x) if self.downsample is not None else x))


def projection(inputs: int, outputs: int, stride: int) -> nn.Cell | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.SequentialCell([conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)])


class ResNet(nn.Cell):
    def __init__(self, block: type, depths: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)
        inputs, layers = 64, []
        for i, depth in enumerate(depths):
            width, blocks = 64 * 2**i, []
            for j in range(depth):
                blocks.append(block(inputs, width, 2 if i and not j else 1))
                inputs = width * block.expansion
            layers.append(nn.SequentialCell(blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.mean = ops.ReduceMean()
        self.fc = nn.Dense(inputs, classes)

    def construct(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.mean(x, (2, 3)))


class Inverted(nn.Cell):
    """MobileNetV2's block: widen, convolve each channel, narrow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width, layers = inputs * expansion, []
        if expansion > 1:
            layers.append(unit(inputs, width, 1))
        layers.append(unit(width, width, 3, stride, group=width))
        layers += [conv(width, outputs, 1), nn.BatchNorm2d(outputs)]
        self.conv = nn.SequentialCell(layers)
        self.adds = stride == 1 and inputs == outputs

    def construct(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> nn.Cell:
    layers = [conv(inputs, outputs, kernel, stride, group), nn.BatchNorm2d(outputs), nn.ReLU6()]
    return nn.SequentialCell(layers)


class MobileNetV2(nn.Cell):
    # expansion, channels, blocks, stride of the first
    rows = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self, classes: int) -> None:
        super().__init__()
        inputs, layers = 32, [unit(3, 32, 3, 2)]
        for expansion, outputs, blocks, stride in self.rows:
            for i in range(blocks):
                layers.append(Inverted(inputs, outputs, 1 if i else stride, expansion))
                inputs = outputs
        layers.append(unit(inputs, 1280, 1))
        self.features = nn.SequentialCell(layers)
        self.mean = ops.ReduceMean()
        self.classifier = nn.SequentialCell([nn.Dropout(p=0.2), nn.Dense(1280, classes)])

    def construct(self, x: Tensor) -> Tensor:
        return self.classifier(self.mean(self.features(x), (2, 3)))


def build(name: str, classes: int) -> nn.Cell:
    if name == "resnet18":
        return ResNet(Block, (2, 2, 2, 2), classes)
    if name == "resnet50":
        return ResNet(WideBlock, (3, 4, 6, 3), classes)
    if name == "mobilenet_v2":
        return MobileNetV2(classes)
    raise SystemExit(f"there is no model {name} here: resnet18, resnet50 or mobilenet_v2.")

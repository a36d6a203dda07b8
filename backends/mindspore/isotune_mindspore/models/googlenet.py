"""GoogLeNet (Szegedy et al., "Going deeper with convolutions", 2014), with BatchNorm.

As torchvision's: the paper's 5 x 5 convolutions are 3 x 3.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Union

from mindspore import Tensor, nn, ops

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.layers import GlobalMean, Sides, batch_norm, conv, linear
from isotune_mindspore.models.pooling import AdaptiveMean, CeilMaxPool


def conv_bn(
    inputs: int, outputs: int, kernel: Sides = 1, stride: int = 1, padding: Sides = 0
) -> nn.SequentialCell:
    """Returns a convolution with BatchNorm and ReLU."""
    convolution = conv(inputs, outputs, kernel, stride, padding)
    norm = batch_norm(outputs, eps=1e-3)
    return nn.SequentialCell(OrderedDict(conv=convolution, bn=norm, relu=nn.ReLU()))


class Inception(nn.Cell):
    """Four branches side by side."""

    def __init__(
        self,
        inputs: int,
        ones: int,
        threes: tuple[int, int],
        fives: tuple[int, int],
        pooled: int,
    ) -> None:
        super().__init__()
        self.branch1 = conv_bn(inputs, ones)
        self.branch2 = reduced(inputs, *threes)
        self.branch3 = reduced(inputs, *fives)
        self.branch4 = nn.SequentialCell(
            [nn.MaxPool2d(3, 1, pad_mode="same"), conv_bn(inputs, pooled)]
        )
        self.concat = ops.Concat(1)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, the sum of all branches' channels, height, width)."""
        return self.concat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)))


def reduced(inputs: int, between: int, outputs: int) -> nn.SequentialCell:
    """Returns a 3 x 3 convolution after one that reduces the channels."""
    return nn.SequentialCell([conv_bn(inputs, between), conv_bn(between, outputs, 3, padding=1)])


class Auxiliary(nn.Cell):
    """A classifier on maps in the middle, whose loss helps in training."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.avgpool = AdaptiveMean(4)
        self.conv = conv_bn(inputs, 128)
        self.flatten = nn.Flatten()
        self.fc1 = linear(2048, 1024)
        self.fc2 = linear(1024, classes)
        self.relu = nn.ReLU()
        self.dropout = Dropout(0.7)

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of `x`: (N, inputs, height, width)."""
        x = self.relu(self.fc1(self.flatten(self.conv(self.avgpool(x)))))
        return self.fc2(self.dropout(x))


class GoogLeNet(nn.Cell):
    """torchvision's ``googlenet``. Images need at least 15 x 15 pixels."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = conv_bn(3, 64, 7, 2, 3)
        self.conv2 = conv_bn(64, 64)
        self.conv3 = conv_bn(64, 192, 3, padding=1)
        self.inception3a = Inception(192, 64, (96, 128), (16, 32), 32)
        self.inception3b = Inception(256, 128, (128, 192), (32, 96), 64)
        self.inception4a = Inception(480, 192, (96, 208), (16, 48), 64)
        self.inception4b = Inception(512, 160, (112, 224), (24, 64), 64)
        self.inception4c = Inception(512, 128, (128, 256), (24, 64), 64)
        self.inception4d = Inception(512, 112, (144, 288), (32, 64), 64)
        self.inception4e = Inception(528, 256, (160, 320), (32, 128), 128)
        self.inception5a = Inception(832, 256, (160, 320), (32, 128), 128)
        self.inception5b = Inception(832, 384, (192, 384), (48, 128), 128)
        self.aux1 = Auxiliary(512, classes)
        self.aux2 = Auxiliary(528, classes)
        self.maxpool1, self.maxpool2 = CeilMaxPool(3), CeilMaxPool(3)
        self.maxpool3, self.maxpool4 = CeilMaxPool(3), CeilMaxPool(2)
        self.avgpool = GlobalMean()
        self.dropout = Dropout(0.2)
        self.fc = linear(1024, classes)

    def construct(self, x: Tensor) -> Union[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Returns logits (N, classes) of images (N, 3, height, width).

        In training they are followed by those of the second and the first auxiliary classifier.
        """
        x = self.conv3(self.conv2(self.maxpool1(self.conv1(x))))
        x = self.maxpool3(self.inception3b(self.inception3a(self.maxpool2(x))))
        first = self.inception4a(x)
        second = self.inception4d(self.inception4c(self.inception4b(first)))
        x = self.maxpool4(self.inception4e(second))
        x = self.avgpool(self.inception5b(self.inception5a(x)))
        logits = self.fc(self.dropout(x))
        if self.training:
            return logits, self.aux2(second), self.aux1(first)
        return logits

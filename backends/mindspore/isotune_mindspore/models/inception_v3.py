"""Inception v3 (Szegedy et al., "Rethinking the Inception architecture", 2015)."""

from __future__ import annotations

from typing import Union

from mindspore import Tensor, nn, ops

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.googlenet import conv_bn
from isotune_mindspore.models.layers import GlobalMean, linear
from isotune_mindspore.models.pooling import PaddedMean


class InceptionA(nn.Cell):
    """1 x 1, 5 x 5 and twice 3 x 3 convolutions side by side: the paper's figure 5."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = conv_bn(inputs, 64)
        self.branch5x5_1 = conv_bn(inputs, 48)
        self.branch5x5_2 = conv_bn(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = conv_bn(inputs, 64)
        self.branch3x3dbl_2 = conv_bn(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = conv_bn(96, 96, 3, padding=1)
        self.branch_pool = conv_bn(inputs, pooled)
        self.pool, self.concat = PaddedMean(1), ops.Concat(1)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, 224 + pooled, height, width)."""
        fives = self.branch5x5_2(self.branch5x5_1(x))
        threes = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        pooled = self.branch_pool(self.pool(x))
        return self.concat((self.branch1x1(x), fives, threes, pooled))


class InceptionB(nn.Cell):
    """Halves height and width: the paper's figure 10."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = conv_bn(inputs, 384, 3, 2)
        self.branch3x3dbl_1 = conv_bn(inputs, 64)
        self.branch3x3dbl_2 = conv_bn(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = conv_bn(96, 96, 3, 2)
        self.pool, self.concat = nn.MaxPool2d(3, 2), ops.Concat(1)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, 480 + inputs, height / 2, width / 2)."""
        threes = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return self.concat((self.branch3x3(x), threes, self.pool(x)))


class InceptionC(nn.Cell):
    """7 x 7 convolutions as 1 x 7 and 7 x 1, once and twice: the paper's figure 6."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        flat, tall = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))
        self.branch1x1 = conv_bn(inputs, 192)
        self.branch7x7_1 = conv_bn(inputs, width)
        self.branch7x7_2 = conv_bn(width, width, *flat)
        self.branch7x7_3 = conv_bn(width, 192, *tall)
        self.branch7x7dbl_1 = conv_bn(inputs, width)
        self.branch7x7dbl_2 = conv_bn(width, width, *tall)
        self.branch7x7dbl_3 = conv_bn(width, width, *flat)
        self.branch7x7dbl_4 = conv_bn(width, width, *tall)
        self.branch7x7dbl_5 = conv_bn(width, 192, *flat)
        self.branch_pool = conv_bn(inputs, 192)
        self.pool, self.concat = PaddedMean(1), ops.Concat(1)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, 768, height, width)."""
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return self.concat((self.branch1x1(x), once, twice, self.branch_pool(self.pool(x))))


class InceptionD(nn.Cell):
    """Halves height and width, after a 7 x 7 convolution in one branch."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = conv_bn(inputs, 192)
        self.branch3x3_2 = conv_bn(192, 320, 3, 2)
        self.branch7x7x3_1 = conv_bn(inputs, 192)
        self.branch7x7x3_2 = conv_bn(192, 192, (1, 7), 1, (0, 3))
        self.branch7x7x3_3 = conv_bn(192, 192, (7, 1), 1, (3, 0))
        self.branch7x7x3_4 = conv_bn(192, 192, 3, 2)
        self.pool, self.concat = nn.MaxPool2d(3, 2), ops.Concat(1)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, 512 + inputs, height / 2, width / 2)."""
        sevens = self.branch7x7x3_2(self.branch7x7x3_1(x))
        sevens = self.branch7x7x3_4(self.branch7x7x3_3(sevens))
        return self.concat((self.branch3x3_2(self.branch3x3_1(x)), sevens, self.pool(x)))


class InceptionE(nn.Cell):
    """1 x 3 and 3 x 1 convolutions side by side: the paper's figure 7."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        flat, tall = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
        self.branch1x1 = conv_bn(inputs, 320)
        self.branch3x3_1 = conv_bn(inputs, 384)
        self.branch3x3_2a = conv_bn(384, 384, *flat)
        self.branch3x3_2b = conv_bn(384, 384, *tall)
        self.branch3x3dbl_1 = conv_bn(inputs, 448)
        self.branch3x3dbl_2 = conv_bn(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = conv_bn(384, 384, *flat)
        self.branch3x3dbl_3b = conv_bn(384, 384, *tall)
        self.branch_pool = conv_bn(inputs, 192)
        self.pool, self.concat = PaddedMean(1), ops.Concat(1)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, 2048, height, width)."""
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return self.concat(
            (
                self.branch1x1(x),
                self.branch3x3_2a(once),
                self.branch3x3_2b(once),
                self.branch3x3dbl_3a(twice),
                self.branch3x3dbl_3b(twice),
                self.branch_pool(self.pool(x)),
            )
        )


class Auxiliary(nn.Cell):
    """A classifier on maps in the middle, whose loss helps in training."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3)
        self.conv0 = conv_bn(inputs, 128)
        self.conv1 = conv_bn(128, 768, 5)
        self.avgpool = GlobalMean()
        self.fc = linear(768, classes)

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of `x`: (N, inputs, height, width)."""
        return self.fc(self.avgpool(self.conv1(self.conv0(self.pool(x)))))


class InceptionV3(nn.Cell):
    """torchvision's ``inception_v3``.

    Images need at least 75 x 75 pixels, and in training, for the auxiliary classifier, 299 x 299.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = conv_bn(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = conv_bn(32, 32, 3)
        self.Conv2d_2b_3x3 = conv_bn(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = conv_bn(64, 80)
        self.Conv2d_4a_3x3 = conv_bn(80, 192, 3)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128)
        self.Mixed_6c = InceptionC(768, 160)
        self.Mixed_6d = InceptionC(768, 160)
        self.Mixed_6e = InceptionC(768, 192)
        self.AuxLogits = Auxiliary(768, classes)
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.Mixed_7c = InceptionE(2048)
        self.maxpool1, self.maxpool2 = nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2)
        self.avgpool = GlobalMean()
        self.dropout = Dropout(0.5)
        self.fc = linear(2048, classes)

    def construct(self, x: Tensor) -> Union[Tensor, tuple[Tensor, Tensor]]:
        """Returns logits (N, classes) of images (N, 3, height, width).

        In training they are followed by those of the auxiliary classifier.
        """
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        middle = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(middle)))
        logits = self.fc(self.dropout(self.avgpool(x)))
        if self.training:
            return logits, self.AuxLogits(middle)
        return logits

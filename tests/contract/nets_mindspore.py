"""The contract's nets as MindSpore users write them."""

from __future__ import annotations

from collections import OrderedDict

from mindspore import Tensor, nn


class LinearNet(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc = nn.Dense(192, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(x))


class TinyBatchNorm(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, pad_mode="pad", padding=1, has_bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.fc = nn.Dense(4, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.fc(self.relu(self.bn(self.conv(x))).mean((2, 3)))


class TinyDropout(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        drop, hidden = nn.Dropout(p=0.5), nn.Dense(192, 16)
        self.stem = nn.SequentialCell(OrderedDict(drop=drop, hidden=hidden))
        self.relu = nn.ReLU()
        self.drop = nn.Dropout(p=0.25)
        self.fc = nn.Dense(16, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.relu(self.stem(self.flatten(x)))))


class TinyConvolutional(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, pad_mode="pad", padding=1, has_bias=False)
        self.relu = nn.ReLU()
        self.classifier = nn.Conv2d(4, 3, 1, has_bias=True)

    def construct(self, x: Tensor) -> Tensor:
        return self.classifier(self.relu(self.conv(x))).mean((2, 3))


class TinyAuxiliary(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, pad_mode="pad", padding=1, has_bias=False)
        self.relu = nn.ReLU()
        self.fc = nn.Dense(4, 3)
        self.aux = nn.SequentialCell(OrderedDict(fc=nn.Dense(4, 3)))

    def construct(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.relu(self.conv(x)).mean((2, 3))
        return (self.fc(x), self.aux(x)) if self.training else self.fc(x)


class TinyRepeated(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, pad_mode="pad", padding=1, has_bias=False)
        self.relu = nn.ReLU()
        self.mix = nn.Dense(4, 4)
        self.fc = nn.Dense(4, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.fc(self.mix(self.mix(self.relu(self.conv(x)).mean((2, 3)))))


def linear() -> nn.Cell:
    return LinearNet()


def tiny_bn() -> nn.Cell:
    return TinyBatchNorm()


def tiny_dropout() -> nn.Cell:
    return TinyDropout()


def tiny_convolutional() -> nn.Cell:
    return TinyConvolutional()


def tiny_auxiliary() -> nn.Cell:
    return TinyAuxiliary()


def tiny_repeated() -> nn.Cell:
    return TinyRepeated()

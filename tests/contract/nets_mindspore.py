"""The contract's nets as MindSpore users write them."""

from __future__ import annotations

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
        self.drop1 = nn.Dropout(p=0.5)
        self.hidden = nn.Dense(192, 16)
        self.relu = nn.ReLU()
        self.drop2 = nn.Dropout(p=0.25)
        self.fc = nn.Dense(16, 3)

    def construct(self, x: Tensor) -> Tensor:
        x = self.hidden(self.drop1(self.flatten(x)))
        return self.fc(self.drop2(self.relu(x)))


def linear() -> nn.Cell:
    return LinearNet()


def tiny_bn() -> nn.Cell:
    return TinyBatchNorm()


def tiny_dropout() -> nn.Cell:
    return TinyDropout()

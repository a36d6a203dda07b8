"""Cells as a third party writes them, and what the tests feed them."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn
from numpy.typing import NDArray

from isotune.interfaces.dataset import Batch, Normalization

NORMALIZATION = Normalization(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


class Block(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, has_bias=False)
        self.bn = nn.BatchNorm2d(3)

    def construct(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Nested(nn.Cell):
    """Two like blocks, BatchNorm in a sequence, dropout in a sequence, the head in a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Block()
        self.second = Block()
        self.tail = nn.SequentialCell([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()])
        self.head = nn.SequentialCell([nn.Dropout(p=0.5), nn.Dense(4, 3)])

    def construct(self, x: Tensor) -> Tensor:
        return self.head(self.tail(self.second(self.first(x))).mean((2, 3)))


def pictures(seed: int, size: int = 4) -> Batch:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (size, 6, 6, 3), dtype=np.uint8)
    return Batch(images, random.integers(0, 3, size).astype(np.int32))


def floats(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)

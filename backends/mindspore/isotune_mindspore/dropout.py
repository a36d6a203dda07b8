"""Dropout by the core's masks (:mod:`isotune.training.dropout`), as a cell.

MindSpore's ``nn.Dropout`` draws from a generator whose state cannot be restored, so that an
interrupted run would not continue to the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from isotune.training.dropout import layer_seed, threshold


def signed(word: int) -> int:
    """Returns the int32 with the same bits as the unsigned 32-bit `word`."""
    return word - (1 << 32) if word >= 1 << 31 else word


MULTIPLIERS = (0x7FEB352D, signed(0x846CA68B))


class Dropout(nn.Cell):
    """Drops elements where the hash of their position says so; the identity in evaluation.

    int32 arithmetic wraps around like the hash's uint32; a right shift copies the sign bit, so
    that the copies are masked away.

    Attributes:
        p: the share of elements that is dropped, in [0, 1).
        seed: int32, shape (1,): the bits of the word of this layer and step. The trainer sets
            it; each use also moves it on, for those who train the model without Isotune.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.threshold = threshold(p)
        self.scale = 1 / (1 - p)
        self.first, self.second = MULTIPLIERS
        self.seed = Parameter(Tensor(np.zeros(1, np.int32)), name="seed", requires_grad=False)

    def construct(self, x: Tensor) -> Tensor:
        """Returns `x` (any shape) with the survivors multiplied by 1 / (1 - p)."""
        if not self.training:
            return x
        keep = self.hash(x.size) >= self.threshold
        ops.assign(self.seed, self.seed * 1664525 + 1013904223)
        return x * (keep.astype(x.dtype) * self.scale).reshape(x.shape)

    def hash(self, elements: int) -> Tensor:
        """Returns the upper 24 bits of the hash of each position: int32, shape (elements,)."""
        bits = ops.bitwise_xor(ops.arange(0, elements).astype(ms.int32), self.seed)
        bits = ops.bitwise_xor(bits, ops.bitwise_and(ops.bitwise_right_shift(bits, 16), 0xFFFF))
        bits = bits * self.first
        bits = ops.bitwise_xor(bits, ops.bitwise_and(ops.bitwise_right_shift(bits, 15), 0x1FFFF))
        bits = bits * self.second
        bits = ops.bitwise_xor(bits, ops.bitwise_and(ops.bitwise_right_shift(bits, 16), 0xFFFF))
        return ops.bitwise_and(ops.bitwise_right_shift(bits, 8), 0xFFFFFF)


def dropout_cells(model: nn.Cell) -> list[Dropout]:
    """Returns the dropout layers in the order of their definition: a layer's number is its place."""
    return [cell for _, cell in model.cells_and_names() if isinstance(cell, Dropout)]


def seeds(seed: int, step: int, layers: int) -> Tensor:
    """Returns the words of all layers for one step: int32, shape (max(layers, 1),)."""
    words: Sequence[int] = [layer_seed(seed, step, layer) for layer in range(layers)] or [0]
    return Tensor(np.array(words, dtype=np.uint32).view(np.int32))

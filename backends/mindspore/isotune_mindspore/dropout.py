"""Dropout by the core's masks (:mod:`isotune.training.dropout`), as a cell.

MindSpore's ``nn.Dropout`` draws from a generator whose state cannot be restored, so that a
resumed run would not end in the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from isotune.training.dropout import FACTOR, INCREMENT, layer_seed, threshold


class Dropout(nn.Cell):
    """Drops elements where the hash of their position says so; the identity in evaluation.

    Attributes:
        p: Probability that an element is dropped, in [0, 1).
        seed: int32, shape (1,): the bits of the layer's seed for this step. The trainer sets it;
            each use advances it as the core defines.
        first: int32, shape (1,): number of images of the shard before these. None, of which
            nothing is compiled, unless several processes compute a shard.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.seed = Parameter(Tensor(np.zeros(1, np.int32)), name="seed", requires_grad=False)
        self.first: Parameter | None = None
        self.bits = HashBits()
        self.threshold = int32(threshold(p))
        self.scale = Tensor(1 / (1 - p), ms.float32)
        self.factor, self.increment = int32(FACTOR), int32(INCREMENT)
        self.assign = ops.Assign()
        self.range, self.cast = ops.Range(), ops.Cast()
        self.greater_equal = ops.GreaterEqual()
        self.add, self.mul = ops.Add(), ops.Mul()

    def construct(self, x: Tensor) -> Tensor:
        """Returns `x` (any shape) with the survivors multiplied by 1 / (1 - p)."""
        if not self.training:
            return x
        factors = self.factors(x.size, x.size // x.shape[0])
        return self.mul(x, self.cast(factors, x.dtype).reshape(x.shape))

    def factors(self, count: int, per_image: int) -> Tensor:
        """Returns the factors of `count` elements, so many an image: float32 (count,)."""
        places = self.cast(self.range(0, count, 1), ms.int32)
        if self.first is not None:
            places = self.add(places, self.mul(self.first, per_image))
        keep = self.greater_equal(self.bits(places, self.seed), self.threshold)
        self.assign(self.seed, self.add(self.mul(self.seed, self.factor), self.increment))
        return self.mul(self.cast(keep, ms.float32), self.scale)

    def extend_repr(self) -> str:
        """Returns the text between the brackets when the cell is printed."""
        return f"p={self.p}"


class StochasticDepth(Dropout):
    """Drops whole samples of a residual branch; the identity in evaluation or if p = 0."""

    def construct(self, x: Tensor) -> Tensor:
        """Returns `x` (N, ...) with the surviving samples multiplied by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return x
        factors = self.factors(x.shape[0], 1).reshape((x.shape[0],) + (1,) * (x.ndim - 1))
        return self.mul(x, self.cast(factors, x.dtype))


class HashBits(nn.Cell):
    """The hash of :mod:`isotune.training.dropout` for positions in a tensor.

    int32 arithmetic wraps around like the hash's uint32; its right shift copies the sign bit,
    so these copies are masked out. All by primitives: functions such as ``ops.bitwise_xor``
    take twice the time to run and four times to compile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = int32(0x7FEB352D), int32(0x846CA68B)
        self.by16, self.low16 = int32(16), int32(0xFFFF)
        self.by15, self.low17 = int32(15), int32(0x1FFFF)
        self.by8, self.low24 = int32(8), int32(0xFFFFFF)
        self.mul = ops.Mul()
        self.xor, self.bits_and = ops.BitwiseXor(), ops.BitwiseAnd()
        self.shift = ops.RightShift()

    def construct(self, places: Tensor, seed: Tensor) -> Tensor:
        """Returns the hash's upper 24 bits of `places`: int32, same shape; `seed`: int32, (1,)."""
        bits = self.xor(places, seed)
        bits = self.xor(bits, self.bits_and(self.shift(bits, self.by16), self.low16))
        bits = self.mul(bits, self.first)
        bits = self.xor(bits, self.bits_and(self.shift(bits, self.by15), self.low17))
        bits = self.mul(bits, self.second)
        bits = self.xor(bits, self.bits_and(self.shift(bits, self.by16), self.low16))
        return self.bits_and(self.shift(bits, self.by8), self.low24)


def int32(value: int) -> Tensor:
    """Returns the int32 scalar with the bits of an unsigned 32-bit integer."""
    return Tensor(value - (1 << 32) if value >= 1 << 31 else value, ms.int32)


def dropout_cells(model: nn.Cell) -> dict[str, Dropout]:
    """Returns the cells that drop anything, by path."""
    return {p: c for p, c in model.cells_and_names() if isinstance(c, Dropout) and c.p > 0}


def seeds(seed: int, step: int, paths: Iterable[str], shard: int = 0) -> Tensor:
    """Returns the seeds of all layers for one step: int32, shape (layers, 1); (1, 1) for none."""
    values = [layer_seed(seed, step, path, shard) for path in paths] or [0]
    return Tensor(np.array(values, dtype=np.uint32).view(np.int32)[:, None])

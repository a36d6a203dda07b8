"""With which kernel, padding and precision a convolution or a linear layer fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import fitting, rounded, two, unraveled
from isotune.equivalence.causes.evidence import Array, Evidence, Pair

Wide = NDArray[np.float64]

PLACES = 192
"""Number of outputs that are computed again."""


@dataclass(frozen=True, eq=False)
class _Products:
    """A convolution, or a linear layer as one of 1 x 1.

    Attributes:
        x: Input, shape (N, channels, height, width).
        weight: Shape (outputs, channels of a group, height, width).
        bias: Shape (outputs,).
        stride, dilation: Of height and width.
        before: Padding before height and width.
        maps: Whether it is a convolution.
        bits: To how many bits after the first inputs and weights are rounded.
    """

    x: Array
    weight: Array
    bias: Array
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    maps: bool = True
    bits: int = 23

    def at(self, places: list[NDArray[np.int64]]) -> Wide:
        """Returns the outputs at these indices (image, output, row, column)."""
        found = [self._one(*(int(each) for each in index)) for index in zip(*places, strict=True)]
        return np.array(found)

    def _one(self, image: int, output: int, row: int, column: int) -> float:
        channels, height, width = self.weight.shape[1:]
        groups = self.x.shape[1] // channels
        first = output // (len(self.weight) // groups) * channels
        rows = row * self.stride[0] - self.before[0] + self.dilation[0] * np.arange(height)
        columns = column * self.stride[1] - self.before[1] + self.dilation[1] * np.arange(width)
        inside = (rows >= 0) & (rows < self.x.shape[2])
        across = (columns >= 0) & (columns < self.x.shape[3])
        patch = self.x[image, first : first + channels][:, rows[inside]][:, :, columns[across]]
        kernel = self.weight[output][:, inside][:, :, across]
        if self.bits < 23:
            patch, kernel = rounded(patch, self.bits), rounded(kernel, self.bits)
        total = (patch.astype(np.float64) * kernel.astype(np.float64)).sum()
        return float(total + self.bias[output])


def other_product(evidence: Evidence) -> str | None:
    """Finds which kernel, padding, bias or precision each side's output fits."""
    plain, pair = _plain(evidence), evidence.found()
    if plain is None or pair is None or pair.between == 0:
        return None
    some = pair.part(_places(pair))
    rows = plain.x.shape[0], len(plain.weight), 1, 1
    places = unraveled(some.positions, pair.shape if plain.maps else rows)
    known = {"": plain.at(places)}
    known |= {name: each.at(places) for name, each in _changed(plain, evidence)}
    one, other = (fitting(known, side, some.between) for side in (some.one, some.other))
    if one is None or other is None or one == other:
        return None
    sides = zip(evidence.labels, (one, other), strict=True)
    return f"{'; '.join(f'{label} fits {name}' for label, name in sides if name)}."


def _places(pair: Pair) -> NDArray[np.int64]:
    """Chooses places: half of them where the sides differ most."""
    size = len(pair.positions)
    spread = np.arange(0, size, max(1, size // (PLACES // 2)))
    worst = np.argsort(np.abs(pair.one - pair.other), kind="stable")[-PLACES // 2 :]
    chosen: NDArray[np.int64] = np.unique(np.concatenate([spread, worst]))
    return chosen


def _plain(evidence: Evidence) -> _Products | None:
    """Returns the layer as it ought to be, if its arrays are those of such a layer."""
    inputs, outputs = evidence.inputs(), evidence.outputs()
    weight, bias = evidence.parameter("weight"), evidence.parameter("bias")
    if outputs is None or len(inputs) != 1 or weight is None or not weight.size:
        return None
    x, shape = inputs[0], outputs[0].shape
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    if bias.shape != weight.shape[:1]:
        return None
    if (
        weight.ndim == 2
        and (*x.shape[:-1], len(weight)) == shape
        and x.shape[-1] == weight.shape[1]
    ):
        x, weight = x.reshape(-1, x.shape[-1], 1, 1), weight[:, :, None, None]
        return _Products(x, weight, bias, (1, 1), (1, 1), (0, 0), maps=False)
    if weight.ndim != 4 or x.ndim != 4 or len(shape) != 4 or shape[:2] != (len(x), len(weight)):
        return None
    if x.shape[1] % weight.shape[1] or len(weight) % (x.shape[1] // weight.shape[1] or 1):
        return None
    stride, dilation = two(evidence.setting("stride"), 1), two(evidence.setting("dilation"), 1)
    return _Products(x, weight, bias, stride, dilation, _before(evidence, weight.shape))


def _before(evidence: Evidence, kernel: tuple[int, ...]) -> tuple[int, int]:
    padding = evidence.setting("padding")
    if isinstance(padding, tuple) and len(padding) == 4:  # top, bottom, left, right
        return int(padding[0]), int(padding[2])
    return two(padding, (kernel[2] - 1) // 2)


def _changed(plain: _Products, evidence: Evidence) -> Iterator[tuple[str, _Products]]:
    """Yields what a fault would make of it, by what to say of it."""
    yield from _kernels(plain)
    if plain.bias.any():
        yield "a layer whose bias is left out", replace(plain, bias=np.zeros_like(plain.bias))
    top, left = plain.before
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            before = top + down, left + right
            if (down or right) and min(before) >= 0 and plain.weight.shape[2:] != (1, 1):
                text = f"padding of {before[0]} above and {before[1]} to the left"
                yield f"{text} instead of {top} and {left}", replace(plain, before=before)
    for name, bits in (("TF32", 10), ("bfloat16", 7)):
        yield f"products of {name} numbers", replace(plain, bits=bits)
    assert evidence.local is not None
    own = evidence.parameter("weight")
    for name, value in evidence.local.state.items():
        if own is not None and value is not own and value.shape == own.shape:
            other = value.reshape(plain.weight.shape)
            yield f"the values of '{name}'", replace(plain, weight=other)


def _kernels(plain: _Products) -> Iterator[tuple[str, _Products]]:
    weight = plain.weight
    outputs, inputs, height, width = weight.shape
    if inputs == 3 == plain.x.shape[1]:
        yield "input channels in the opposite order", replace(plain, weight=weight[:, ::-1])
    if outputs == inputs > 1:
        yield (
            "a kernel whose inputs and outputs are swapped",
            replace(plain, weight=weight.transpose(1, 0, 2, 3)),
        )
    if height == width > 1:
        yield (
            "a kernel whose height and width are swapped",
            replace(plain, weight=weight.transpose(0, 1, 3, 2)),
        )
    if height > 1 or width > 1:
        yield "a kernel that is flipped", replace(plain, weight=weight[:, :, ::-1, ::-1])

"""What a trace keeps of an array: its norm as a whole, and samples at places by its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

SAMPLES = 512
"""Largest number of samples of an array."""

CHUNK = 1 << 17
"""Number of elements that are added up at once, in float64: so they stay in a CPU's cache."""


def positions(name: str, shape: Sequence[int]) -> NDArray[np.int64]:
    """Returns where an array is sampled, in C order: int64, ascending, at most SAMPLES of them.

    An array of at most SAMPLES elements is kept whole. Of a larger one, sample i lies in the i-th
    of SAMPLES equal ranges, at a place that the name gives: raw words of NumPy's Philox generator
    with the key (CRC-32 of the name, 0), the same in all versions of NumPy (NEP 19). Of a name with
    slashes, only what stands between the first two counts: a parameter's gradient, update and slots
    are sampled at the same places, so that one can be held against the other.

    Args:
        name: The array's name in the trace, such as ``gradient/fc.weight``.
        shape: The array's shape.
    """
    size = math.prod(shape)
    if size <= SAMPLES:
        return np.arange(size, dtype=np.int64)
    edges = np.arange(SAMPLES + 1, dtype=np.int64) * size // SAMPLES
    name = name.split("/")[1] if "/" in name else name
    key = np.array([crc32(name.encode(errors="surrogatepass")), 0], dtype=np.uint64)
    words = np.random.Philox(key=key).random_raw(SAMPLES)
    widths = np.diff(edges).astype(np.uint64)
    return edges[:-1] + (words % widths).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Values:
    """What is kept of an array.

    Attributes:
        shape: The array's shape.
        norm: Its L2 norm, added up in float64.
        mean: The mean of its elements, in float64; 0 without any.
        largest: Its largest absolute value; 0 without any.
        samples: float32, its elements at :func:`positions`.
    """

    shape: tuple[int, ...]
    norm: float
    mean: float
    largest: float
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class Sums:
    """Sums over the elements of an array, or of a part of one; those of parts can be added.

    Attributes:
        squares: Sum of the squares, in float64.
        total: Sum of the elements, in float64.
        largest: Largest absolute value; 0 without any.
    """

    squares: float = 0.0
    total: float = 0.0
    largest: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        largest = float(np.maximum(self.largest, other.largest))  # NaN wins
        return Sums(self.squares + other.squares, self.total + other.total, largest)


def sums_of(array: NDArray[np.floating[Any]]) -> Sums:
    """Returns the sums over an array's elements."""
    flat, sums = array.ravel(order="K"), Sums()
    buffer = np.empty(min(flat.size, CHUNK))
    for start in range(0, flat.size, CHUNK):
        chunk = flat[start : start + CHUNK]
        wide = buffer[: len(chunk)]
        wide[:] = chunk
        largest = np.maximum(chunk.max(), -chunk.min())  # NaN wins
        total = float(wide.sum())
        np.square(wide, out=wide)  # a product by BLAS would wait for threads of its own
        sums += Sums(float(wide.sum()), total, float(largest))
    return sums


def values_of(name: str, array: NDArray[np.float32], sums: bool = True) -> Values:
    """Returns what is kept of an array.

    Args:
        name: Its name in the trace.
        array: float32, of any shape.
        sums: Whether to add up its elements; without, norm, mean and largest value are 0.
    """
    samples = np.asarray(array.flat[positions(name, array.shape)], np.float32)
    return summed_up(array.shape, sums_of(array) if sums else Sums(), samples)


def summed_up(shape: tuple[int, ...], sums: Sums, samples: NDArray[np.float32]) -> Values:
    """Returns what is kept of an array, given its sums and its samples."""
    mean = sums.total / max(math.prod(shape), 1)
    return Values(shape, math.sqrt(sums.squares), mean, sums.largest, samples)


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Returns the relative difference of two arrays: 0 for equal ones, about 1 for unrelated ones.

    It is the L2 norm of the difference divided by the larger one of the arrays' L2 norms, in
    float64. Infinity where shapes differ or one has NaN or infinity where the other has not.

    Args:
        one: float32, of any shape.
        other: float32, of any shape.
    """
    if one.shape != other.shape:
        return math.inf
    if np.array_equal(one, other, equal_nan=True):
        return 0.0
    first, second = one.astype(np.float64), other.astype(np.float64)
    size = max(float(np.linalg.norm(first)), float(np.linalg.norm(second)))
    found = float(np.linalg.norm(first - second)) / size
    return found if math.isfinite(found) else math.inf

"""What a trace keeps of an array: its norm as a whole, and samples at places by its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

SAMPLES = 512
"""Largest number of samples of an array."""


def positions(name: str, shape: Sequence[int]) -> NDArray[np.int64]:
    """Returns where an array is sampled, in C order: int64, ascending, at most SAMPLES of them.

    An array of at most SAMPLES elements is kept whole. Of a larger one, sample i lies in the i-th
    of SAMPLES equal ranges, at a place that the name gives: raw words of NumPy's Philox generator
    with the key (CRC-32 of the name, 0), the same in all versions of NumPy (NEP 19).

    Args:
        name: The array's name in the trace.
        shape: The array's shape.
    """
    size = math.prod(shape)
    if size <= SAMPLES:
        return np.arange(size, dtype=np.int64)
    edges = np.arange(SAMPLES + 1, dtype=np.int64) * size // SAMPLES
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


def values_of(name: str, array: NDArray[np.float32]) -> Values:
    """Returns what is kept of an array.

    Args:
        name: Its name in the trace.
        array: float32, of any shape.
    """
    flat = np.ascontiguousarray(array, np.float32).reshape(-1)
    if not flat.size:
        return Values(array.shape, 0.0, 0.0, 0.0, flat)
    wide = flat.astype(np.float64)
    return Values(
        shape=array.shape,
        norm=float(np.sqrt(wide @ wide)),
        mean=float(wide.mean()),
        largest=float(np.abs(flat).max()),
        samples=flat[positions(name, array.shape)],
    )


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

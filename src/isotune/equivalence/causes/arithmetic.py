"""Arithmetic that causes share: whether an array fits another one, and layers at single places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TIGHT = 1e-4
"""Largest relative difference between an array and what it fits: a thousand float32 roundings."""

SHARE = 0.05
"""... and the largest share of the difference between both sides that it leaves unexplained."""


def apart(one: Array, other: Array) -> float:
    """Returns the relative difference, in float64, as of sampling.difference; NaN counts as 1."""
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    size = max(float(np.linalg.norm(first)), float(np.linalg.norm(second)))
    if size == 0:
        return 0.0
    found = float(np.linalg.norm(first - second)) / size
    return found if np.isfinite(found) else 1.0


def fits(expected: Array, found: Array, between: float) -> bool:
    """Whether an array is as expected, measured by the difference between both sides."""
    return apart(expected, found) <= min(TIGHT, SHARE * between)


def fitting(candidates: Mapping[str, Array], found: Array, between: float) -> str | None:
    """Returns the name of the only candidate that fits, the nearest one; None if none does."""
    near = {name: apart(each, found) for name, each in candidates.items()}
    best = min(near, key=lambda name: near[name], default=None)
    return best if best is not None and fits(candidates[best], found, between) else None


def two(setting: Any, usual: int) -> tuple[int, int]:
    """Returns a setting of height and width; `usual` where it is not known or not a number."""
    if isinstance(setting, int) and not isinstance(setting, bool):
        return setting, setting
    if isinstance(setting, tuple) and len(setting) == 2:
        return int(setting[0]), int(setting[1])
    if isinstance(setting, tuple) and len(setting) == 1:
        return int(setting[0]), int(setting[0])
    return usual, usual


def unraveled(positions: NDArray[np.int64], shape: Sequence[int]) -> list[NDArray[np.int64]]:
    """Returns the index of each position along each dimension."""
    return [np.asarray(each, np.int64) for each in np.unravel_index(positions, tuple(shape))]


def rounded(array: Array, bits: int) -> NDArray[np.float32]:
    """Returns float32 numbers rounded to nearest, ties to even, to so many bits after the first.

    bfloat16 has 7, TF32 and float16 have 10 (float16 with fewer exponents).
    """
    words = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    drop = 23 - bits
    half = (np.uint64(1) << np.uint64(drop - 1)) - np.uint64(1)
    last = (words >> np.uint64(drop)) & np.uint64(1)
    words = ((words + half + last) >> np.uint64(drop)) << np.uint64(drop)
    return words.astype(np.uint32).view(np.float32)


def number(value: float) -> str:
    """Returns a number for a sentence, such as ``0.001`` or ``1e-05``; near ones as themselves."""
    if abs(value - 1) < 0.05:  # of a factor, the difference from 1 matters
        return f"{value:.4g}"
    short = f"{value:.1g}"
    if value and abs(float(short) / value - 1) < 0.02:
        return f"{float(short):g}"
    return f"{float(f'{value:.3g}'):g}"

"""Finds near duplicates: images resized, compressed again, brightened, mirrored or turned.

Perceptual hashes suggest pairs, and thumbnails confirm them. Both see luminance only, so a gray or
recolored copy is found; a copy that lacks a twentieth of its width usually is not
(benchmarks/results/near-duplicates.md has what is found of each kind).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isotune.data.disjoint_sets import DisjointSets
from isotune.data.integrity.perceptual_hash import (
    ORIENTATIONS,
    Hashes,
    close_pairs,
    difference_hashes,
    frequency_hashes,
    orient,
)

CORRELATION = 0.9
"""Smallest correlation of two near duplicates' thumbnails, in [-1, 1]. Of the pairs in CIFAR-10
whose hashes are close, most of those below are of different scenes."""

MIN_SIDE = 32
"""Width and height below which images are too coarse to be told apart: handwritten digits of 8 x 8
pixels look alike whoever wrote them."""

MIN_CONTRAST = 2.0
"""Standard deviation of a thumbnail's levels below which it shows nothing but noise."""

_CHUNK = 1 << 15
"""Number of pairs of thumbnails that are compared at a time."""


def comparable(
    thumbnails: NDArray[np.uint8], widths: NDArray[np.int32], heights: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Whether each image shows enough to be compared by its looks: bool, shape (N,).

    Args:
        thumbnails: Luminance, uint8, shape (N, side, side).
        widths: In pixels.
        heights: In pixels.
    """
    result = np.minimum(widths, heights) >= MIN_SIDE
    for start in range(0, len(thumbnails), _CHUNK):
        part = slice(start, start + _CHUNK)
        result[part] &= thumbnails[part].std(axis=(1, 2), dtype=np.float32) >= MIN_CONTRAST
    return result


def near_duplicates(thumbnails: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """Returns groups of images that look alike, in ascending order.

    An image is in a group if it is a near duplicate of any other in it.

    Args:
        thumbnails: Luminance, uint8, shape (N, side, side), with some contrast.
    """
    groups = DisjointSets(len(thumbnails))
    for hashes in (frequency_hashes, difference_hashes):
        _join_alike(thumbnails, hashes, groups)
    return groups.listed()


def _join_alike(
    thumbnails: NDArray[np.uint8],
    hashes: Callable[[NDArray[np.uint8]], Hashes],
    groups: DisjointSets,
) -> None:
    hashed = hashes(thumbnails)
    # Of a thousand frames of a still camera, one is compared with the other images.
    _, first, inverse = np.unique(hashed, return_index=True, return_inverse=True)
    leaders = first[inverse.reshape(-1)]
    followers = np.flatnonzero(leaders != np.arange(len(thumbnails)))
    alike = _alike(thumbnails, thumbnails, leaders[followers], followers)
    groups.join(leaders[followers[alike]], followers[alike])
    searched = np.delete(np.arange(len(thumbnails)), followers[alike])
    for orientation in range(ORIENTATIONS):
        turned = orient(thumbnails, orientation)
        for pair in close_pairs(hashed[searched], hashes(turned)[searched]):
            queries, found = (searched[each] for each in pair)
            alike = _alike(turned, thumbnails, queries, found)
            groups.join(queries[alike], found[alike])


def _alike(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether ``first[rows]`` and ``second[others]`` correlate: bool, shape (M,)."""
    result = np.zeros(len(rows), np.bool_)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        a, b = _standardized(first[rows[part]]), _standardized(second[others[part]])
        result[part] = (a * b).sum(axis=1) >= CORRELATION
    return result


def _standardized(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns thumbnails with mean 0 and norm 1: float32, shape (N, side * side)."""
    values = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    result: NDArray[np.float32] = values / np.maximum(norms, 1e-6)
    return result

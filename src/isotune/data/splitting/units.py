"""Finds images that must stay together: identical ones, and those of a group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unit_numbers(
    count: int, digests: NDArray[np.uint8] | None, groups: NDArray[np.int32] | None
) -> NDArray[np.int64]:
    """Returns the unit of each image, from 0: int64, shape (count,).

    Identical images are in one unit, and so are all images of a group; an image in two groups
    unites them.

    Args:
        count: Number of images.
        digests: Digests of the images: uint8, shape (count, 16), zeros for an image that cannot be
            read; None if there are none, so that no image is known to be identical to another.
        groups: Number of each image's group, shape (count,); None if groups do not matter.
    """
    contents = _contents(count, digests)
    if groups is None:
        return contents
    numbers = _numbered(groups)
    parents = list(range(int(numbers.max(initial=-1)) + 1))
    first: dict[int, int] = {}
    pairs = np.unique(np.stack([contents, numbers], axis=1), axis=0)
    for content, group in pairs.tolist():
        one, other = _root(parents, first.setdefault(content, group)), _root(parents, group)
        parents[max(one, other)] = min(one, other)
    roots = np.array([_root(parents, group) for group in range(len(parents))], np.int64)
    return _numbered(roots[numbers])


def content_ranks(count: int, digests: NDArray[np.uint8] | None) -> NDArray[np.int64]:
    """Returns the position of each image in an order that depends on its content only.

    Images without a digest come in their own order.
    """
    if digests is None:
        return np.arange(count, dtype=np.int64)
    high, low = np.ascontiguousarray(digests).view(">u8").T
    ranks = np.empty(count, np.int64)
    ranks[np.lexsort((low, high))] = np.arange(count)
    return ranks


def _contents(count: int, digests: NDArray[np.uint8] | None) -> NDArray[np.int64]:
    if digests is None:
        return np.arange(count, dtype=np.int64)
    words = np.ascontiguousarray(digests).view(np.uint64)
    numbers = _numbered(words)
    unknown = np.flatnonzero(~words.any(axis=1))
    numbers[unknown] = numbers.max(initial=-1) + 1 + np.arange(len(unknown))
    return _numbered(numbers)


def _numbered(values: NDArray[Any]) -> NDArray[np.int64]:
    """Returns the position of each value, or row, among the different ones."""
    positions: NDArray[np.int64] = np.unique(values, axis=0, return_inverse=True)[1]
    return positions.reshape(len(values))


def _root(parents: list[int], group: int) -> int:
    while parents[group] != group:
        parents[group] = parents[parents[group]]
        group = parents[group]
    return group

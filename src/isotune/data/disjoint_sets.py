"""Disjoint sets, which are joined until each holds all that belongs together (union-find)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class DisjointSets:
    """Sets of the numbers below `size`, each alone at first."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def join(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
        """Makes one set of those of each pair of numbers: int64, shape (M,) both."""
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            a, b = self._smallest(a), self._smallest(b)
            self._parents[max(a, b)] = min(a, b)

    def smallest(self) -> NDArray[np.int64]:
        """Returns the smallest number in the set of each number: int64, shape (size,)."""
        return np.array([self._smallest(number) for number in range(len(self._parents))], np.int64)

    def listed(self) -> list[tuple[int, ...]]:
        """Returns the sets of more than one number, by their smallest; numbers are ascending."""
        members: dict[int, list[int]] = {}
        for number, smallest in enumerate(self.smallest().tolist()):
            members.setdefault(smallest, []).append(number)
        return [tuple(each) for each in members.values() if len(each) > 1]

    def _smallest(self, number: int) -> int:
        parents = self._parents
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

"""Shards: what the parts of a divided batch add up to, in an order that is always the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from numpy_backend.backbone import Net
from numpy_backend.layers import Array, BatchNorm

Arrays = dict[str, Array]


class Gradients:
    """Sums of gradients since the last update.

    Each part of a batch adds up those of the batches of an update by itself, so that processes
    could compute one each and come to the same bytes.
    """

    def __init__(self) -> None:
        self.parts: dict[int, Arrays] = {}

    def add(self, gradients: Arrays, part: int) -> None:
        """Adds a batch's gradients to the sums of a part."""
        sums = self.parts.setdefault(part, {})
        for name, value in gradients.items():
            sums[name] = sums.get(name, np.float32(0)) + value

    def take(self) -> Arrays:
        """Returns the sums over all parts, in their order, and starts again from zero."""
        totals: Arrays = {}
        for _, sums in sorted(self.parts.items()):
            for name, value in sums.items():
                totals[name] = totals.get(name, np.float32(0)) + value
        self.parts = {}
        return totals


class Statistics:
    """Running statistics of BatchNorm layers while they see the shards of a batch."""

    def __init__(self, model: Net) -> None:
        self.layers = [each for each in model.layers.values() if isinstance(each, BatchNorm)]
        self.moved: list[list[Array]] = []

    @contextmanager
    def of_one_shard(self) -> Iterator[None]:
        """Notes what a shard makes of the statistics, which then are as before."""
        before = [value.copy() for value in self._moving()]
        yield
        self.moved.append([value.copy() for value in self._moving()])
        for value, old in zip(self._moving(), before, strict=True):
            value[...] = old

    def end_batch(self) -> None:
        """Gives the layers the mean over the shards that had images."""
        for value, *each in zip(self._moving(), *self.moved, strict=True):
            value[...] = sum(each, np.float32(0)) / np.float32(len(each))
        self.moved = []

    def _moving(self) -> list[Array]:
        """Returns the statistics of layers in training mode, not copied."""
        return [
            each for layer in self.layers if layer.training for each in layer.statistics.values()
        ]

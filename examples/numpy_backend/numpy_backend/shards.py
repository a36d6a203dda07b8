"""Shards: what the parts of a divided batch add up to, in an order that is always the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from isotune.errors import BackendError
from isotune.interfaces.communicator import Communicator
from isotune.interfaces.division import Part
from numpy_backend.backbone import Net
from numpy_backend.layers import Array, BatchNorm

Arrays = dict[str, Array]


class Gradients:
    """Sums of gradients since the last update.

    Each part of a batch adds up those of the batches of an update by itself, so that processes
    that compute one each come to the same bytes.

    Args:
        model: Has the parameters.
        communicator: Reaches the processes that have the other parts.
    """

    def __init__(self, model: Net, communicator: Communicator) -> None:
        self.model = model
        self.communicator = communicator
        self.parts: dict[int, Arrays] = {}

    def add(self, gradients: Arrays, part: int) -> None:
        """Adds a batch's gradients to the sums of a part; an empty part has none."""
        sums = self.parts.setdefault(part, {})
        for name, value in gradients.items():
            sums[name] = sums.get(name, np.float32(0)) + value

    def take(self) -> Arrays:
        """Returns the sums over all parts, in their order, and starts again from zero."""
        totals = {name: np.zeros_like(each) for name, each in self.model.parameters().items()}
        rows = [flat([*{**totals, **sums}.values()]) for _, sums in sorted(self.parts.items())]
        total = flat([*totals.values()])
        for row in of_all_parts(self.communicator, rows):
            total += row
        spread(total, [*totals.values()])
        self.parts = {}
        return totals


class Statistics:
    """Running statistics of BatchNorm layers while they see the shards of a batch."""

    def __init__(self, model: Net, communicator: Communicator) -> None:
        self.layers = [each for each in model.layers.values() if isinstance(each, BatchNorm)]
        self.communicator = communicator
        self.moved: list[Array] = []

    @contextmanager
    def of_one_shard(self, shared: bool) -> Iterator[None]:
        """Notes what a shard makes of the statistics, which then are as before.

        Args:
            shared: Whether other processes compute parts of the shard.

        Raises:
            BackendError: They do, and a layer would need their images.
        """
        if shared and self._moving():
            raise BackendError(
                "the NumPy backend has no BatchNorm over several processes: take as many shards as"
                " processes, or more."
            )
        before = [value.copy() for value in self._moving()]
        yield
        self.moved.append(flat(self._moving()))
        for value, old in zip(self._moving(), before, strict=True):
            value[...] = old

    def end_batch(self, part: Part) -> None:
        """Gives the layers the mean over the shards that had images."""
        moving = self._moving()
        if moving:
            rows = of_all_parts(self.communicator, self.moved)
            shards = [row for row, size in zip(rows, part.sizes, strict=True) if size]
            total = np.zeros_like(shards[0])
            for row in shards:
                total += row
            spread(total / np.float32(len(shards)), moving)
        self.moved = []

    def _moving(self) -> list[Array]:
        """Returns the statistics of layers in training mode, not copied."""
        return [
            each for layer in self.layers if layer.training for each in layer.statistics.values()
        ]


def flat(values: list[Array]) -> Array:
    """Returns all values in a row."""
    return np.concatenate([np.zeros(0, np.float32), *(each.ravel() for each in values)])


def spread(row: Array, values: list[Array]) -> None:
    """Does the opposite of :func:`flat`, in place."""
    start = 0
    for value in values:
        value[...] = row[start : start + value.size].reshape(value.shape)
        start += value.size


def of_all_parts(communicator: Communicator, rows: list[Array]) -> Array:
    """Returns the rows of all parts, given those of this process's: they follow each other."""
    gathered = communicator.gather(np.stack(rows))
    return gathered.reshape(-1, gathered.shape[-1])

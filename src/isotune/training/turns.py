"""Whole batches that processes compute in turn: the same batches that one alone computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from isotune.data.batches import Batches
from isotune.data.integrity.broken import BrokenImageError, fault
from isotune.distributed.group import Group
from isotune.errors import DatasetError
from isotune.interfaces.dataset import Batch, FeatureBatch, Labels
from isotune.training.evaluation import LabelBatches, collect_labels, joined

Rows = NDArray[np.float32]
"""What is computed of N images: shape (N, ...)."""

Compute = Callable[[Iterable[Batch]], Iterator[Rows]]
"""Yields what a backend computes of each batch; none of its collectives is among that."""


def rows_in_turn(group: Group, batches: Batches, compute: Compute) -> tuple[Rows, Labels]:
    """Returns what is computed of the first epoch's images, and their labels, in its order.

    Each process decodes and computes every so-manieth batch. Images that turn out to be broken, if
    they are skipped, would move those of other batches up: then everything is computed once more,
    without them.

    Args:
        group: The processes.
        batches: The images, in the source's own order.
        compute: What is computed.

    Raises:
        IsotuneError: An image is broken or something else is wrong, in any process.
    """
    if group.place.alone:
        labels = LabelBatches()
        rows = np.concatenate(list(compute(collect_labels(batches.epoch(0), labels))))
        return rows, joined(labels)
    left_out = _broken(group, batches)
    while True:
        some = batches if left_out is None else batches.without(left_out)
        if not some.size:
            raise DatasetError("none of the images to evaluate can be read.")
        own = _own(group, some, compute)
        found = _broken(group, batches)
        if found is None or left_out is None or len(found) == len(left_out):
            order = some.order(0)[: some.size]
            return _put_together(group, some, own), some.source.labels[order]
        left_out = found


def _own(group: Group, batches: Batches, compute: Compute) -> Rows:
    """Returns the rows of this process's batches."""
    place = group.place
    with group.reporting():
        try:
            mine = batches.epoch(0, place.rank, every=place.processes)
            own = list(compute(batch for batch in mine if len(batch)))
        except BrokenImageError as error:
            raise DatasetError(f"{fault(error)}.") from error
    return np.concatenate(own) if own else np.zeros(0, np.float32)


def _broken(group: Group, batches: Batches) -> NDArray[np.int64] | None:
    """Returns the indices of all broken images that were met; None if that may not be."""
    if batches.broken is None:
        return None
    found: NDArray[np.int64] = np.unique(np.concatenate(group.arrays(batches.broken)))
    return found


def _put_together(group: Group, batches: Batches, own: Rows) -> Rows:
    rows, place, size = group.arrays(own), group.place, batches.batch_size
    result = np.empty((batches.size, *rows[0].shape[1:]), np.float32)
    for rank, part in enumerate(rows):
        start = 0
        for begin in range(rank * size, batches.size, place.processes * size):
            length = min(size, batches.size - begin)
            result[begin : begin + length] = part[start : start + length]
            start += length
    return result


def features_in_turn(
    group: Group,
    batches: Batches,
    compute: Callable[[Iterable[Batch]], Iterator[FeatureBatch]],
    epoch: int = 0,
    start: int = 0,
    order: int | None = None,
) -> Iterator[FeatureBatch]:
    """Yields the features of all batches of an epoch in every process, in order.

    Each process decodes and computes every so-manieth batch; after each turn all have its features.

    Args:
        group: The processes.
        batches: The images.
        compute: Yields the features of each batch.
        epoch: As for :meth:`Batches.epoch`.
        start: As for :meth:`Batches.epoch`.
        order: As for :meth:`Batches.epoch`.

    Raises:
        IsotuneError: An image is broken or something else is wrong, in any process.
    """
    place = group.place
    first, every = start + place.rank, place.processes
    own = compute(batches.epoch(epoch, first, order=order, every=every))
    if place.alone:
        yield from own
        return
    labels = islice(batches.labels(epoch if order is None else order), start, None)
    for _ in range(start, len(batches), every):
        with group.reporting():
            mine = next(own, None)
        rows = group.arrays(np.zeros(0, np.float32) if mine is None else mine.features)
        yield from (FeatureBatch(part, next(labels)) for part in rows if len(part))

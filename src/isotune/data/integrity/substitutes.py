"""What takes the place of an image that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from isotune.data.integrity.broken import BrokenImageError
from isotune.errors import DatasetError
from isotune.interfaces.dataset import Batch, Labels


def substitute(
    read: Callable[[int, int], NDArray[np.uint8]],
    order: NDArray[np.int64],
    earlier: NDArray[np.int64],
    place: int,
    labels: Labels,
    broken: BrokenImageError,
) -> tuple[int, NDArray[np.uint8]]:
    """Returns the image that stands for a broken one in an epoch: its index and its pixels.

    It is the next one in the epoch's order, from its end on to its beginning, that has the same
    label and can be read, augmented as it is there. If there is none, it is the first one of the
    dataset that has the same label; and where images may have several labels, whose sets may be
    rare, the next one of any label. So it depends on nothing but the order and the images.

    Args:
        read: Returns an image, given its index and how often it has occurred in the epoch before.
        order: Indices of images in the epoch's order.
        earlier: How often each has occurred before.
        place: Position of the broken image.
        labels: The labels of all images, by index.
        broken: Why the image cannot be read.

    Raises:
        DatasetError: There is none.
    """
    for index, occurred in _candidates(order, earlier, place, labels):
        try:
            return index, read(index, occurred)
        except BrokenImageError:
            continue
    raise DatasetError(f"no training image of this one's class can be read: {broken}") from broken


def _candidates(
    order: NDArray[np.int64], earlier: NDArray[np.int64], place: int, labels: Labels
) -> Iterator[tuple[int, int]]:
    label = labels[order[place]]
    others: list[tuple[int, int]] = []
    for step in range(1, len(order)):
        position = (place + step) % len(order)
        found = int(order[position]), int(earlier[position])
        if np.array_equal(labels[found[0]], label):
            yield found
        elif labels.ndim == 2:
            others.append(found)
    alike = labels == label if labels.ndim == 1 else (labels == label).all(axis=1)
    for index in np.flatnonzero(alike).tolist():
        yield index, 0
    yield from others


def refilled(batches: Iterator[Batch], size: int) -> Iterator[Batch]:
    """Yields the same images in batches of `size`; the last one may be smaller.

    So the first batch is as large as any, as where none is left out: a backend may compile a step
    for a batch that is larger than those before.

    Args:
        batches: Batches of at most `size` images.
        size: Number of images of a batch.

    Raises:
        DatasetError: There is no image at all.
    """
    rest: Batch | None = None
    empty = True
    for batch in batches:
        if rest is not None:
            images = np.concatenate([rest.images, batch.images])
            batch = Batch(images, np.concatenate([rest.labels, batch.labels]))
        if len(batch) < size:
            rest = batch
            continue
        yield Batch(batch.images[:size], batch.labels[:size])
        rest, empty = Batch(batch.images[size:], batch.labels[size:]), False
    if rest is not None and len(rest):
        yield rest
    elif empty:
        raise DatasetError("none of the images to evaluate can be read.")

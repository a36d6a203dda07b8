"""Batches of the readable images of a source; the errors of the others are collected."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from isotune.data.batches import AHEAD
from isotune.data.experiment_batches import evaluation_batches
from isotune.data.workers import worker_count
from isotune.errors import DatasetError
from isotune.interfaces.dataset import Batch, ImageSource
from isotune.spec.experiment import ExperimentSpec

Outcomes = deque["DatasetError | None"]
"""For each image in the source's order: its error, or None if it is in a batch."""


def readable_batches(
    source: ImageSource, spec: ExperimentSpec, size: int, outcomes: Outcomes
) -> Iterator[Batch]:
    """Yields the images of `source` with the validation transforms, without unreadable ones.

    Threads decode each image once, :data:`AHEAD` batches in advance. All batches except the last
    one are full. When a batch is yielded, `outcomes` has an entry for each of its images and for
    all images before them.

    Args:
        source: the images.
        spec: a resolved spec.
        size: number of images per batch.
        outcomes: the entries are appended to it; the reader may remove them from the front.

    Yields:
        Batches whose labels are all 0.
    """
    batches = evaluation_batches(source, spec, size)
    indices = iter(range(len(source)))
    pending: deque[Future[NDArray[np.uint8]]] = deque()
    rows: list[NDArray[np.uint8]] = []
    executor = ThreadPoolExecutor(worker_count(spec.workers), "isotune-data")
    try:
        while True:
            while len(pending) < AHEAD * size and (index := next(indices, None)) is not None:
                pending.append(executor.submit(batches.image, 0, index))
            if not pending:
                break
            try:
                rows.append(pending.popleft().result())
                outcomes.append(None)
            except DatasetError as error:
                outcomes.append(error)
            if len(rows) == size:
                yield _batch(rows)
                rows = []
        if rows:
            yield _batch(rows)
    finally:
        executor.shutdown(cancel_futures=True)


def _batch(rows: list[NDArray[np.uint8]]) -> Batch:
    return Batch(np.stack(rows), np.zeros(len(rows), dtype=np.int32))

"""Batches arrive as the core made them, normalized."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from contract.reference.trainer import normalized
from contract.values import NORMALIZATION, words
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch


def host(tensor: Any) -> NDArray[Any]:
    return np.asarray(tensor.asnumpy() if hasattr(tensor, "asnumpy") else tensor)


def images(index: int, size: int) -> Batch:
    """Returns a batch of images that are not square, so that swapped axes show."""
    pixels = words(f"feed/{index}", size * 6 * 10 * 3) % np.uint64(256)
    labels = np.arange(size, dtype=np.int32) + 10 * index
    return Batch(pixels.astype(np.uint8).reshape(size, 6, 10, 3), labels.astype(np.int32))


def test_feed_normalizes_in_order_and_keeps_the_short_last_batch(backend: Backend) -> None:
    batches = [images(i, size) for i, size in enumerate([4, 4, 4, 3])]
    fed = list(backend.dataset.feed(batches, NORMALIZATION))
    assert [batch.size for batch in fed] == [4, 4, 4, 3]
    for device, batch in zip(fed, batches, strict=True):
        images = host(device.images)
        assert images.dtype == np.float32
        assert_allclose(images, normalized(batch.images, NORMALIZATION), rtol=1e-6, atol=1e-6)
        assert_array_equal(host(device.labels), batch.labels)


def test_feed_reads_no_further_than_a_few_batches_ahead(backend: Backend) -> None:
    drawn: list[int] = []

    def endless() -> Any:
        for i in range(10_000):
            drawn.append(i)
            yield images(0, 1)

    next(iter(backend.dataset.feed(endless(), NORMALIZATION)))
    assert len(drawn) < 100


def test_feed_leaves_the_batch_alone(backend: Backend) -> None:
    batch = images(0, 2)
    before = batch.images.copy()
    list(backend.dataset.feed([batch], NORMALIZATION))
    assert_array_equal(batch.images, before)

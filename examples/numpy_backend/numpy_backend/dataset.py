"""Dataset: normalize; there is no device to move to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from isotune.interfaces.dataset import (
    Batch,
    DatasetAdapter,
    DeviceBatch,
    FeatureBatch,
    Normalization,
)


class NumpyDataset(DatasetAdapter):
    """Feeds the core's batches as float32 arrays."""

    def feed(self, batches: Iterable[Batch], normalization: Normalization) -> Iterator[DeviceBatch]:
        mean = np.array(normalization.mean, np.float32)
        std = np.array(normalization.std, np.float32)
        for batch in batches:
            scaled = (batch.images.astype(np.float32) / 255 - mean) / std
            yield DeviceBatch(scaled.transpose(0, 3, 1, 2), batch.labels, len(batch))

    def feed_features(self, batches: Iterable[FeatureBatch]) -> Iterator[DeviceBatch]:
        for batch in batches:
            yield DeviceBatch(batch.features, batch.labels, len(batch))

"""Dataset: batches to the device, normalized there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import mindspore as ms
import numpy as np
from mindspore import Tensor

from isotune.interfaces.dataset import (
    Batch,
    DatasetAdapter,
    DeviceBatch,
    FeatureBatch,
    Normalization,
)


class MindSporeDatasetAdapter(DatasetAdapter):
    """MindSpore runs operations asynchronously, which is enough overlap.

    No thread and no process of its own: a forked child that runs a MindSpore operation hangs.
    """

    def feed(self, batches: Iterable[Batch], normalization: Normalization) -> Iterator[DeviceBatch]:
        """Yields `batches` as float32 (N, 3, height, width) images and their labels."""
        scale, shift = scale_and_shift(normalization)
        for batch in batches:
            pixels = Tensor.from_numpy(np.ascontiguousarray(batch.images)).astype(ms.float32)
            images = (pixels * scale + shift).transpose(0, 3, 1, 2)
            yield DeviceBatch(images, _labels(batch), len(batch))

    def feed_features(self, batches: Iterable[FeatureBatch]) -> Iterator[DeviceBatch]:
        """Yields `batches` as float32 (N, ...) features and their labels."""
        for batch in batches:
            features = Tensor.from_numpy(np.ascontiguousarray(batch.features))
            yield DeviceBatch(features, _labels(batch), len(batch))


def scale_and_shift(normalization: Normalization) -> tuple[Tensor, Tensor]:
    """Returns factors and summands of pixels from 0 to 255: float32, shape (3,) each."""
    std = np.array(normalization.std, np.float64)
    scale = Tensor((1 / (255 * std)).astype(np.float32))
    return scale, Tensor((-np.array(normalization.mean, np.float64) / std).astype(np.float32))


def _labels(batch: Batch | FeatureBatch) -> Tensor:
    """Returns the labels: int32, shape (N,), or float32, shape (N, classes)."""
    return Tensor.from_numpy(np.ascontiguousarray(batch.labels))

"""Dataset: takes the core's uint8 batches to the device and normalizes them there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from isotune.interfaces.dataset import (
    Batch,
    DatasetAdapter,
    DeviceBatch,
    FeatureBatch,
    Normalization,
)
from isotune_torch.arrays import to_tensor
from isotune_torch.devices import host_to_device, transferred


class TorchDatasetAdapter(DatasetAdapter):
    """Moves batches to one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def feed(self, batches: Iterable[Batch], normalization: Normalization) -> Iterator[DeviceBatch]:
        """Yields `batches` as float32 images (N, 3, H, W) and their labels.

        Pixels are ``(pixel / 255 - mean) / std`` in float32, each operation rounded once. They
        stay channels last in memory; the trainer converts them to its model's memory format.
        """
        transfer = _Transfer(self._device, normalization)
        for images, labels in transferred(batches, transfer, self._device):
            yield DeviceBatch(images, labels, len(labels))

    def feed_features(self, batches: Iterable[FeatureBatch]) -> Iterator[DeviceBatch]:
        """Yields `batches` as float32 features (N, ...) and their labels."""
        for features, labels in transferred(batches, self._transfer_features, self._device):
            yield DeviceBatch(features, labels, len(labels))

    def _transfer_features(self, batch: FeatureBatch) -> tuple[Tensor, Tensor]:
        features = host_to_device(to_tensor(batch.features), self._device)
        return features, _labels(batch, self._device)


class _Transfer:
    """Copies and normalizes one batch."""

    def __init__(self, device: torch.device, normalization: Normalization) -> None:
        self._device = device
        self._normalization = normalization
        self._rows: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        pixels = host_to_device(to_tensor(batch.images), self._device)
        height, width = pixels.shape[1:3]
        mean, std = self._constants(width)
        values = pixels.to(torch.float32)
        # Whole rows: an inner loop of 3 channels would take three times as long.
        values.view(-1, width * 3).div_(255).sub_(mean).div_(std)
        images = values.view(-1, height, width, 3).permute(0, 3, 1, 2)
        return images, _labels(batch, self._device)

    def _constants(self, width: int) -> tuple[Tensor, Tensor]:
        """Returns mean and std for a row of `width` pixels, float32 (width * 3,)."""
        if width not in self._rows:
            mean, std = (
                torch.tensor(values, dtype=torch.float32, device=self._device).repeat(width)
                for values in (self._normalization.mean, self._normalization.std)
            )
            self._rows[width] = mean, std
        return self._rows[width]


def _labels(batch: Batch | FeatureBatch, device: torch.device) -> Tensor:
    """Returns the labels: int64, shape (N,), or float32, shape (N, classes)."""
    labels = host_to_device(to_tensor(batch.labels), device)
    return labels if labels.dtype.is_floating_point else labels.to(torch.int64)

"""Test-time augmentation: probabilities averaged over each image and its mirror image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Batch
from isotune.spec.loss import MEANS, LossName


def with_mirrored(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yields each batch, and then the same with left and right of its images swapped.

    They are not put into one batch of twice the size: a backend may compile a step for each size.
    """
    for batch in batches:
        yield batch
        yield replace(batch, images=np.ascontiguousarray(batch.images[:, :, ::-1]))


def averaged(
    logits: Iterator[NDArray[np.float32]], loss: LossName
) -> Iterator[NDArray[np.float32]]:
    """Yields logits whose probabilities are the means of those of two batches.

    Args:
        logits: Those of the batches of :func:`with_mirrored`: float32, shape (N, outputs).
        loss: The loss that the model was trained with.
    """
    largest = np.finfo(np.float32).max
    for usual, mirrored in zip(logits, logits, strict=True):
        yield MEANS[loss](usual, mirrored).clip(-largest, largest).astype(np.float32)

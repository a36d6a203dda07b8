"""Computes features: the output of the layers before the classifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import TrainingError
from isotune.interfaces.dataset import Batch, FeatureBatch
from isotune.interfaces.division import Division
from isotune.training.evaluation import LabelBatches, collect_labels, logits_by_batch
from isotune.training.session import Session


def even_batch(images: int, largest: int) -> int:
    """Returns the batch size up to `largest` that divides `images` most evenly."""
    return -(-images // -(-images // largest))


class Extractor:
    """Computes features in evaluation mode.

    Args:
        session: The experiment.
        model: Native, its classifier taken out.
        batch_size: Images a batch. Smaller batches are padded, since a backend may compile a
            step for every size.
    """

    def __init__(self, session: Session, model: Any, batch_size: int) -> None:
        self._session = session
        self._trainer = session.backend.trainer(model, session.plan)
        self.batch_size = batch_size

    def features(self, batches: Iterable[Batch]) -> Iterator[FeatureBatch]:
        """Yields the features of each batch, at most `batch_size` images, in order.

        Raises:
            TrainingError: Features are NaN or infinite.
        """
        session, labels = self._session, LabelBatches()
        padded = (_padded(batch, self.batch_size) for batch in collect_labels(batches, labels))
        rows = logits_by_batch(
            session.backend, self._trainer, padded, session.normalization, fetch_every=1
        )
        for features in rows:
            truth = labels.pop(0)
            features = features[: len(truth)]
            self._check(features)
            yield FeatureBatch(features, truth)

    def _check(self, features: NDArray[np.float32]) -> None:
        finite = np.isfinite(features).reshape(len(features), -1).all(axis=1)
        if finite.all():
            return
        precision = self._session.spec.precision
        narrower = "" if precision == "fp32" else f", and precision is '{precision}': try 'fp32'"
        raise TrainingError(
            f"the frozen layers compute NaN or infinite features for {np.sum(~finite)} of"
            f" {len(finite)} images, which no learning rate changes: the backbone's weights are to"
            f" blame, or the normalization{narrower}."
        )


def _padded(batch: Batch, size: int) -> Batch:
    missing = size - len(batch)
    if missing == 0:
        return batch
    return Batch(
        np.concatenate([batch.images, np.repeat(batch.images[-1:], missing, 0)]),
        np.concatenate([batch.labels, np.repeat(batch.labels[-1:], missing, 0)]),
    )


def regrouped(batches: Iterable[FeatureBatch], size: int) -> Iterator[FeatureBatch]:
    """Yields the same samples in batches of `size`; the last one may be smaller."""
    parts: list[FeatureBatch] = []
    waiting = 0
    for batch in batches:
        parts.append(batch)
        waiting += len(batch)
        if waiting >= size:
            joined = _joined(parts)
            whole = waiting // size * size
            for start in range(0, whole, size):
                yield _part(joined, start, start + size)
            parts, waiting = [_part(joined, whole, waiting)], waiting - whole
    if waiting:
        yield _joined(parts)


def parts_of(batches: Iterable[FeatureBatch], division: Division) -> Iterator[FeatureBatch]:
    """Yields this process's parts of each batch; a placeholder stands for an empty one."""
    for batch in batches:
        if division.whole:
            yield batch
            continue
        for part in division.divide(len(batch)):
            own = _part(batch, part.start, part.stop) if len(part) else _part(batch, 0, 1)
            yield replace(own, placeholder=not len(part))


def without_first(batches: Iterator[FeatureBatch], count: int) -> Iterator[FeatureBatch]:
    """Yields `batches`, the first of them without its first `count` samples."""
    for batch in batches:
        if count < len(batch):
            yield _part(batch, count, len(batch))
        count = max(count - len(batch), 0)


def _joined(parts: list[FeatureBatch]) -> FeatureBatch:
    features = np.concatenate([part.features for part in parts])
    return FeatureBatch(features, np.concatenate([part.labels for part in parts]))


def _part(batch: FeatureBatch, start: int, end: int) -> FeatureBatch:
    return FeatureBatch(batch.features[start:end], batch.labels[start:end])

"""Trains a classifier on cached features, while everything before it is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.data.batches import Batches
from isotune.interfaces.checkpoint import State
from isotune.interfaces.dataset import Batch, DeviceBatch, FeatureBatch, Labels
from isotune.interfaces.freezing import FreezePlan
from isotune.training.accumulator import Stopwatch
from isotune.training.evaluation import (
    AnyEvaluation,
    LabelBatches,
    assess,
    collect_labels,
    joined,
    logits_of,
)
from isotune.training.features.cache import FeatureCache, View
from isotune.training.features.cut import Cut
from isotune.training.features.extraction import (
    Extractor,
    even_batch,
    parts_of,
    regrouped,
    without_first,
)
from isotune.training.features.key import FeatureKeys
from isotune.training.features.store import FeatureStore
from isotune.training.session import Session
from isotune.training.strategy import Strategy, fed_parts
from isotune.training.turns import features_in_turn

MEBIBYTE = 1 << 20
EVAL_BATCH = 1024
"""Features an evaluation step."""


class CachedFeatures(Strategy):
    """Holds a model cut in two: one part computes features, the classifier trains.

    Args:
        session: The experiment.
        model: Native and whole; it is whole again after :meth:`close`.
        cut: Where to cut the model.
        reusable: Whether later runs may reuse the features: whether the same names and values
            of tensors mean the same model.
    """

    def __init__(self, session: Session, model: Any, cut: Cut, *, reusable: bool) -> None:
        backend, spec = session.backend, session.spec
        self._session = session
        self._model = model
        self._cut = cut
        self._names = tuple(backend.state_adapter.model_shapes(model))
        self._freezing = FreezePlan()
        self._head = backend.heads.detach(model, cut.path)
        self.trainer = backend.trainer(self._head, session.plan)
        self._train = session.training_batches()
        self._val = session.validation_batches()
        origin = self._train.source.origin
        images = self._train.source if origin is None else origin.source
        batch_size = even_batch(len(images), backend.inference_batch_size())
        self._extractor = Extractor(session, model, batch_size)
        sharing = session.group.place.local_processes
        memory, disk = spec.cache.memory * MEBIBYTE // 4, spec.cache.disk * MEBIBYTE
        store = FeatureStore(memory // sharing, disk // sharing)
        key = self._keys(batch_size) if reusable else _no_key
        # Other folds will need the new view of every epoch, too, and one for validation.
        views = 1 if origin is None or spec.cache.views is not None else spec.epochs + 1
        group = session.group
        self._train_cache = FeatureCache(self._extractor, self._train, store, key, group, views)
        self._val_cache = FeatureCache(self._extractor, self._val, store, key, group)

    def freeze(self, plan: FreezePlan) -> None:
        """Trains the classifier except ``plan.frozen`` from the next step on."""
        self._freezing = plan
        self.trainer.freeze(self._cut.inside(plan))

    def training(
        self, epoch: int, start: int, waiting: Stopwatch, labels: LabelBatches
    ) -> Iterator[DeviceBatch]:
        """Yields the features of an epoch's images, in its order, from batch `start` on."""
        view, first = self._view(epoch), start * self._session.spec.batch_size
        cached = None if view is None else self._train_cache.view(view, waiting)
        if cached is None:
            batches = self._computed(view, epoch, first, waiting)
        else:
            order = self._train.order(epoch)[: self._train.size]
            batches = self._gathered(cached, order[first:])
        own = parts_of(batches, self._session.division)
        return fed_parts(own, labels, self._session.backend.dataset.feed_features)

    def evaluate(self) -> AnyEvaluation:
        """Evaluates the classifier on the features of the validation images."""
        labels = LabelBatches()
        cached = self._val_cache.view(0, Stopwatch())
        if cached is None:
            val = self._val.regrouped(self._extractor.batch_size)
            batches = features_in_turn(self._session.group, val, self._extractor.features)
        else:
            batches = _slices(cached, self._val.source.labels)
        on_device = self._session.backend.dataset.feed_features(collect_labels(batches, labels))
        logits = np.concatenate(list(logits_of(self.trainer, on_device)))
        spec, plan = self._session.spec, self._session.plan
        return assess(logits, joined(labels), plan, spec.metrics, spec.threshold)

    def model_state(self) -> State:
        """Returns copies of all tensors of the whole model, in the model's order."""
        export = self._session.backend.state_adapter.export_model
        parts = {**export(self._model), **export(self._head)}
        return {name: parts[name] for name in self._names}

    def changing_state(self) -> State:
        """Returns copies of the classifier's tensors: all others are frozen."""
        return self._session.backend.state_adapter.export_model(self._head)

    def close(self) -> None:
        """Puts the classifier back and leaves the model frozen as it was."""
        backend = self._session.backend
        backend.heads.attach(self._model, self._cut.path, self._head)
        backend.freezing.apply(self._model, self._freezing)

    def _view(self, epoch: int) -> int | None:
        """Returns the epoch whose augmentation `epoch` has, or None if no other needs it."""
        if not self._train.random:
            return 0
        views = self._session.spec.cache.views
        if views is None:
            # Only a shuffled epoch has each image once, and so each in one view.
            shuffled = self._session.spec.sampler == "shuffled"
            return epoch if shuffled and self._train_cache.shared else None
        return epoch % views

    def _computed(
        self, view: int | None, epoch: int, first: int, waiting: Stopwatch
    ) -> Iterator[FeatureBatch]:
        # An image is always computed in the same batch, since its features may depend, in their
        # last bits, on its place there.
        size = self._extractor.batch_size
        whole, rest = divmod(first, size)
        train = self._train.regrouped(size)

        def compute(images: Iterable[Batch]) -> Iterator[FeatureBatch]:
            return self._extractor.features(waiting.timing(iter(images)))

        shown, order = (epoch, None) if view is None else (view, epoch)
        features = features_in_turn(self._session.group, train, compute, shown, whole, order)
        return regrouped(without_first(features, rest), self._session.spec.batch_size)

    def _gathered(self, view: View, order: NDArray[np.int64]) -> Iterator[FeatureBatch]:
        size, labels = self._session.spec.batch_size, self._train.source.labels
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            yield FeatureBatch(view.take(indices), labels[indices])

    def _keys(self, batch_size: int) -> Callable[[Batches, int], str | None]:
        state = self._session.backend.state_adapter.export_model(self._model)
        return FeatureKeys(self._session, self._cut, state, batch_size).key


def _no_key(batches: Batches, view: int) -> None:
    return None


def _slices(view: View, labels: Labels) -> Iterator[FeatureBatch]:
    for start in range(0, len(labels), EVAL_BATCH):
        part = np.arange(start, min(start + EVAL_BATCH, len(labels)))
        yield FeatureBatch(view.take(part), labels[part])

"""Trains a classifier on the features of images, while all before it is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from isotune.catalogue.resolve import normalization
from isotune.data.batches import Batches
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.dataset import DeviceBatch, FeatureBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.experiment import ExperimentSpec
from isotune.training.accumulator import Stopwatch
from isotune.training.evaluation import Evaluation, assess, logits_of
from isotune.training.features.cache import FeatureCache
from isotune.training.features.cut import Cut
from isotune.training.features.extraction import Extractor, even_batch, regrouped, without_first
from isotune.training.features.key import FeatureKeys
from isotune.training.features.store import FeatureStore, Rows
from isotune.training.strategy import Feed, Labels, noting

MEBIBYTE = 1 << 20
EVALUATED = 1024
"""Features an evaluation step."""


@dataclass(frozen=True)
class FeatureSettings:
    """What a feed of features needs to know.

    Attributes:
        spec: the resolved spec.
        plan: how it trains.
        cut: where the model is cut.
        train: the training batches.
        val: the validation batches.
        reusable: whether a later run can be sure to have the same model before the cut.
    """

    spec: ExperimentSpec
    plan: TrainingPlan
    cut: Cut
    train: Batches
    val: Batches
    reusable: bool


class FeatureFeed(Feed):
    """Holds a model cut in two: what computes features, and the classifier, which trains."""

    def __init__(self, backend: Backend, model: Any, settings: FeatureSettings) -> None:
        spec, cut = settings.spec, settings.cut
        self._backend = backend
        self._model = model
        self._settings = settings
        self._names = tuple(backend.checkpoints.model_shapes(model))
        self._freezing = FreezePlan()
        self._head = backend.heads.detach(model, cut.path)
        self.trainer = backend.trainer(self._head, settings.plan)
        batch = even_batch(len(settings.train.source), backend.inference_batch_size())
        self._extractor = Extractor(backend, model, settings.plan, normalization(spec), batch)
        store = FeatureStore(spec.cache.memory * MEBIBYTE // 4, spec.cache.disk * MEBIBYTE)
        key = self._keys(batch)
        self._train = FeatureCache(self._extractor, settings.train, store, key)
        self._val = FeatureCache(self._extractor, settings.val, store, key)

    def freeze(self, plan: FreezePlan) -> None:
        """Trains the classifier, or what of it is not frozen, from the next step on."""
        self._freezing = plan
        self.trainer.freeze(self._settings.cut.inside(plan))

    def training(
        self, epoch: int, start: int, waiting: Stopwatch, labels: Labels
    ) -> Iterator[DeviceBatch]:
        """Yields the features of an epoch's images, in its order, from batch `start` on."""
        view, first = self._view(epoch), start * self._settings.spec.batch_size
        rows = None if view is None else self._train.view(view, waiting)
        if rows is None:
            batches = self._computed(epoch if view is None else view, epoch, first, waiting)
        else:
            order = self._settings.train.order(epoch)[: self._settings.train.size]
            batches = self._gathered(rows, order[first:])
        return self._backend.dataset.feed_features(noting(batches, labels))

    def evaluate(self) -> Evaluation:
        """Evaluates the classifier on the validation images' features."""
        val, labels = self._settings.val, Labels()
        rows = self._val.view(0, Stopwatch())
        if rows is None:
            batches = self._extractor.features(val.regrouped(self._extractor.batch_size).epoch(0))
        else:
            batches = _slices(rows, val.source.labels)
        fed = self._backend.dataset.feed_features(noting(batches, labels))
        logits = np.concatenate(list(logits_of(self.trainer, fed)))
        return assess(logits, np.concatenate(labels), self._settings.plan)

    def model_state(self) -> State:
        """Returns copies of all tensors of the whole model, in its own order."""
        export = self._backend.checkpoints.export_model
        parts = {**export(self._model), **export(self._head)}
        return {name: parts[name] for name in self._names}

    def close(self) -> None:
        """Puts the classifier back, and leaves the model frozen as it was."""
        self._backend.heads.attach(self._model, self._settings.cut.path, self._head)
        self._backend.freezing.apply(self._model, self._freezing)

    def _view(self, epoch: int) -> int | None:
        """Returns which epoch's images are seen in `epoch`; None if nobody else's."""
        if not self._settings.train.random:
            return 0
        views = self._settings.spec.cache.views
        return None if views is None else epoch % views

    def _computed(
        self, view: int, epoch: int, first: int, waiting: Stopwatch
    ) -> Iterator[FeatureBatch]:
        # A image is always computed in the same batch, as its features may depend, in their
        # last bits, on its place there.
        size = self._extractor.batch_size
        whole, passed = divmod(first, size)
        images = self._settings.train.regrouped(size).epoch(view, whole, order=epoch)
        features = self._extractor.features(waiting.timing(images))
        return regrouped(without_first(features, passed), self._settings.spec.batch_size)

    def _gathered(self, rows: Rows, order: np.ndarray[Any, Any]) -> Iterator[FeatureBatch]:
        size, labels = self._settings.spec.batch_size, self._settings.train.source.labels
        for start in range(0, len(order), size):
            indices = order[start : start + size]
            yield FeatureBatch(rows[indices], labels[indices])

    def _keys(self, batch_size: int) -> Callable[[Batches, int], str | None]:
        if not self._settings.reusable:
            return lambda batches, view: None
        state = self._backend.checkpoints.export_model(self._model)
        spec, cut = self._settings.spec, self._settings.cut
        return FeatureKeys(spec, self._backend, cut, state, batch_size).key


def _slices(rows: Rows, labels: np.ndarray[Any, Any]) -> Iterator[FeatureBatch]:
    for start in range(0, len(rows), EVALUATED):
        part = slice(start, start + EVALUATED)
        yield FeatureBatch(np.array(rows[part]), labels[part])

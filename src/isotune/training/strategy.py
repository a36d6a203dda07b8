"""What trains in an epoch, and what it is fed: images, or the features of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isotune.data.batches import Batches
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.dataset import Batch, DeviceBatch, FeatureBatch, Normalization
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.training.accumulator import Stopwatch
from isotune.training.evaluation import Evaluation, evaluate

Labels = list[NDArray[np.int32]]
Samples = TypeVar("Samples", Batch, FeatureBatch)


class Feed(ABC):
    """A way to train a model for some epochs.

    Attributes:
        trainer: makes the steps; its parameters have the whole model's names.
    """

    trainer: Trainer

    @abstractmethod
    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything but ``plan.frozen`` from the next step on."""

    @abstractmethod
    def training(
        self, epoch: int, start: int, waiting: Stopwatch, labels: Labels
    ) -> Iterator[DeviceBatch]:
        """Yields the batches of a training epoch.

        Args:
            epoch: from 0.
            start: the first batch, from 0; the same ones follow as without it.
            waiting: measures how long it waits for images.
            labels: takes the labels of each batch, int32 (N,). They may run ahead.
        """

    @abstractmethod
    def evaluate(self, metrics: Iterable[str]) -> Evaluation:
        """Evaluates the model on the validation images; nothing of it changes.

        Args:
            metrics: Names of the metrics to compute besides loss and accuracy.
        """

    @abstractmethod
    def model_state(self) -> State:
        """Returns copies of all tensors of the whole model, in its own order."""

    def close(self) -> None:
        """Leaves the model whole; the feed is not used again."""
        return


class ImageFeed(Feed):
    """Images run through the whole model, in training and in evaluation."""

    def __init__(
        self,
        backend: Backend,
        model: Any,
        trainer: Trainer,
        plan: TrainingPlan,
        train: Batches,
        val: Batches,
        normalization: Normalization,
    ) -> None:
        self.trainer = trainer
        self._backend = backend
        self._model = model
        self._plan = plan
        self._train = train
        self._val = val
        self._normalization = normalization

    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything but ``plan.frozen`` from the next step on."""
        self.trainer.freeze(plan)

    def training(
        self, epoch: int, start: int, waiting: Stopwatch, labels: Labels
    ) -> Iterator[DeviceBatch]:
        """Yields the images of an epoch from batch `start` on."""
        batches = noting(waiting.timing(self._train.epoch(epoch, start)), labels)
        return self._backend.dataset.feed(batches, self._normalization)

    def evaluate(self, metrics: Iterable[str]) -> Evaluation:
        """Evaluates the model on the validation images."""
        return evaluate(
            self._backend,
            self.trainer,
            self._val.epoch(0),
            self._normalization,
            self._plan,
            metrics,
        )

    def model_state(self) -> State:
        """Returns copies of all tensors of the model."""
        return self._backend.checkpoints.export_model(self._model)


def noting(batches: Iterable[Samples], labels: Labels) -> Iterator[Samples]:
    """Yields `batches`, and adds the labels of each to `labels`.

    A feed may run ahead of the step, so labels queue up until their outputs are fetched.
    """
    for batch in batches:
        labels.append(batch.labels)
        yield batch

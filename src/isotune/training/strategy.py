"""Strategies: which part of a model runs in a training step, and on which batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.checkpoint import State
from isotune.interfaces.dataset import Batch, DeviceBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import Trainer
from isotune.training.accumulator import Stopwatch
from isotune.training.evaluation import (
    AnyEvaluation,
    LabelBatches,
    Samples,
    assess,
    logits_by_batch,
)
from isotune.training.session import Session
from isotune.training.turns import rows_in_turn


class Strategy(ABC):
    """A way to train a model for some epochs.

    Attributes:
        trainer: Makes the steps; its parameters have the whole model's names.
    """

    trainer: Trainer

    @abstractmethod
    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything except ``plan.frozen`` from the next step on."""

    @abstractmethod
    def training(
        self, epoch: int, start: int, waiting: Stopwatch, labels: LabelBatches
    ) -> Iterator[DeviceBatch]:
        """Yields the batches of a training epoch, or this process's parts of each.

        Args:
            epoch: The epoch, from 0.
            start: The first batch, from 0; the same batches follow as without it. They end early,
                between two updates, if an image is broken: the run was asked to stop then.
            waiting: Measures the time spent waiting for images.
            labels: Receives the labels of each batch. They may run ahead.
        """

    @abstractmethod
    def evaluate(self) -> AnyEvaluation:
        """Evaluates the model, as its values are, on the validation images."""

    @abstractmethod
    def model_state(self) -> State:
        """Returns copies of all tensors of the whole model, in the model's order."""

    def changing_state(self) -> State:
        """Returns copies of the tensors that training may change, and perhaps of others."""
        return self.model_state()

    def close(self) -> None:
        """Leaves the model whole; the strategy is not used again."""
        return


StrategyFactory = Callable[[], Strategy]


def fed_parts(
    batches: Iterable[Samples],
    labels: LabelBatches,
    feed: Callable[[Iterable[Samples]], Iterator[DeviceBatch]],
) -> Iterator[DeviceBatch]:
    """Yields batches on the device, placeholders with size 0, and collects the labels.

    Args:
        batches: Batches, or parts of them.
        labels: Receives their labels, of a placeholder none.
        feed: Puts them on the device.
    """
    empty = deque[bool]()

    def noted() -> Iterator[Samples]:
        for batch in batches:
            empty.append(batch.placeholder)
            labels.append(batch.labels[:0] if batch.placeholder else batch.labels)
            yield batch

    for fed in feed(noted()):
        yield replace(fed, size=0) if empty.popleft() else fed


class WholeModel(Strategy):
    """Runs images through the whole model, in training and in evaluation."""

    def __init__(self, session: Session, model: Any) -> None:
        self.trainer = session.backend.trainer(model, session.plan)
        self._session = session
        self._model = model
        self._train = session.training_batches()
        self._val = session.validation_batches()

    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything except ``plan.frozen`` from the next step on."""
        self.trainer.freeze(plan)

    def training(
        self, epoch: int, start: int, waiting: Stopwatch, labels: LabelBatches
    ) -> Iterator[DeviceBatch]:
        """Yields the images of an epoch from batch `start` on."""
        division, check = self._session.division, self._session.images.check
        images = self._train.epoch(epoch, start, division=division)
        if check is not None:
            images = check.updates(images, self._session.spec.accumulate * len(division.own))
        dataset, normalization = self._session.backend.dataset, self._session.normalization
        return fed_parts(
            waiting.timing(images), labels, lambda batches: dataset.feed(batches, normalization)
        )

    def evaluate(self) -> AnyEvaluation:
        """Evaluates the model on the validation images."""
        session, spec = self._session, self._session.spec

        def compute(batches: Iterable[Batch]) -> Iterator[NDArray[np.float32]]:
            return logits_by_batch(session.backend, self.trainer, batches, session.normalization)

        logits, labels = rows_in_turn(session.group, self._val, compute)
        return assess(logits, labels, session.plan, spec.metrics, spec.threshold)

    def model_state(self) -> State:
        """Returns copies of all tensors of the model."""
        return self._session.backend.state_adapter.export_model(self._model)

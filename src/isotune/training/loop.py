"""The training loop, owned by the core: the same for every backend."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isotune.data.batches import Batches
from isotune.errors import TrainingError
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import Outputs, Trainer, TrainingPlan
from isotune.runs.events import EpochEnded, EpochMetrics, StepEnded
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.resolving import normalization
from isotune.training.evaluation import FETCH_EVERY, evaluate
from isotune.training.progress import Best, Patience
from isotune.training.schedule import learning_rate


@dataclass
class _Tally:
    """Sums over an epoch's training steps, and how long they took."""

    loss: float = 0.0
    correct: int = 0
    samples: int = 0
    newest_loss: float | None = None
    step_seconds: list[float] = field(default_factory=list)


@dataclass
class TrainingLoop:
    """Trains a model epoch by epoch.

    Attributes:
        freezing: the freeze plan of an epoch, counted from 1.
        notify: tells observers: name of the hook, event.
        on_epoch: called after each epoch with its metrics and whether it is the best so far;
            saves checkpoints.
        first_step_seconds: the run's first step, compilation included.
        step_seconds: seconds a step of all others, averaged between two waits for the device.
    """

    spec: ExperimentSpec
    backend: Backend
    trainer: Trainer
    plan: TrainingPlan
    train: Batches
    val: Batches
    freezing: Callable[[int], FreezePlan]
    notify: Callable[[str, object], None]
    on_epoch: Callable[[EpochMetrics, bool], None]
    history: list[EpochMetrics] = field(default_factory=list)
    first_step_seconds: float = math.nan
    step_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.normalization = normalization(self.spec)

    def run(self) -> EpochMetrics:
        """Runs all epochs, or until early stopping; returns the best one's metrics.

        Raises:
            TrainingError: the loss is no longer a finite number.
        """
        best = Best(self.spec.checkpoint.monitor)
        patience = Patience(self.spec.early_stopping) if self.spec.early_stopping else None
        current: FreezePlan | None = None
        for epoch in range(1, self.spec.epochs + 1):
            plan = self.freezing(epoch)
            if plan != current:
                self.trainer.freeze(plan)
                current = plan
            metrics = self._epoch(epoch)
            self.history.append(metrics)
            is_best = best.update(metrics)
            self.on_epoch(metrics, is_best)
            self.notify("isotune_epoch_ended", EpochEnded(metrics, is_best))
            if patience and patience.exhausted(metrics):
                break
        assert best.metrics is not None  # the first finite epoch is better than none
        return best.metrics

    def _epoch(self, epoch: int) -> EpochMetrics:
        start = time.perf_counter()
        tally = _Tally()
        waiting = _Stopwatch()
        rate = self._train(epoch, tally, waiting)
        trained = time.perf_counter()
        result = evaluate(
            self.backend, self.trainer, self.val.epoch(0), self.normalization, self.plan
        )
        if not math.isfinite(result.loss):
            raise TrainingError(
                f"the validation loss became {result.loss} in epoch {epoch};"
                " a smaller optimizer.lr usually helps."
            )
        steps = tally.step_seconds
        self.step_seconds.extend(steps)
        return EpochMetrics(
            epoch=epoch,
            steps=epoch * len(self.train),
            learning_rate=rate,
            train_loss=tally.loss / tally.samples,
            train_accuracy=tally.correct / tally.samples,
            val_loss=result.loss,
            val_accuracy=result.accuracy,
            train_seconds=trained - start,
            val_seconds=time.perf_counter() - trained,
            data_seconds=waiting.seconds,
            step_ms=statistics.median(steps) * 1000 if steps else math.nan,
        )

    def _train(self, epoch: int, tally: _Tally, waiting: _Stopwatch) -> float:
        """Makes an epoch's training steps; returns the last learning rate."""
        labels: list[NDArray[np.int32]] = []
        pending: list[Outputs] = []
        step = (epoch - 1) * len(self.train)
        rate = 0.0
        mark = time.perf_counter()
        batches = _noting(waiting.timing(self.train.epoch(epoch - 1)), labels)
        for number, batch in enumerate(self.backend.dataset.feed(batches, self.normalization), 1):
            rate = learning_rate(
                self.spec.schedule, self.spec.optimizer.lr, step, len(self.train), self.spec.epochs
            )
            pending.append(self.trainer.train_step(batch, rate, step))
            self.notify("isotune_step_ended", StepEnded(epoch, number, tally.newest_loss))
            if step == 0 or len(pending) == FETCH_EVERY or number == len(self.train):
                self._collect(pending, labels, tally, epoch)
                elapsed = time.perf_counter() - mark
                if step == 0:
                    self.first_step_seconds = elapsed
                else:
                    tally.step_seconds.append(elapsed / len(pending))
                pending.clear()
                mark = time.perf_counter()
            step += 1
        return rate

    def _collect(
        self, pending: list[Outputs], labels: list[NDArray[np.int32]], tally: _Tally, epoch: int
    ) -> None:
        for outputs in self.trainer.fetch(pending):
            truth = labels.pop(0)
            if not math.isfinite(outputs.loss):
                raise TrainingError(
                    f"the training loss became {outputs.loss} in epoch {epoch};"
                    " a smaller optimizer.lr usually helps."
                )
            tally.newest_loss = outputs.loss
            tally.loss += outputs.loss * len(truth)
            tally.correct += int((outputs.logits.argmax(axis=1) == truth).sum())
            tally.samples += len(truth)


def _noting(batches: Iterator[Batch], labels: list[NDArray[np.int32]]) -> Iterator[Batch]:
    # A feed may run ahead of the step, so labels queue up until their outputs are fetched.
    for batch in batches:
        labels.append(batch.labels)
        yield batch


class _Stopwatch:
    """Adds up the time spent waiting for an iterator."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timing(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.seconds += time.perf_counter() - start
            if batch is None:
                return
            yield batch

"""The training loop, owned by the core: the same for every backend."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from isotune.data.batches import Batches
from isotune.errors import StoppedError, TrainingError
from isotune.interfaces.events import EpochEnded, EpochMetrics, StepEnded
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import Outputs, StepPlan, TrainingPlan
from isotune.spec.experiment import ExperimentSpec
from isotune.training.accumulator import EpochAccumulator
from isotune.training.evaluation import FETCH_EVERY
from isotune.training.learner import Learner
from isotune.training.micro_batches import MicroBatch, micro_batches
from isotune.training.progress import Begun, Best, Patience
from isotune.training.save_points import SavePoints, Snapshot
from isotune.training.stop import Stop
from isotune.training.strategy import Labels


@dataclass
class TrainingLoop:
    """Trains a model epoch by epoch.

    Attributes:
        learner: the model in training.
        train: the batches that it is trained on.
        freezing: the freeze plan of an epoch, counted from 1.
        notify: tells observers: name of the hook, event.
        log: takes the metrics of an epoch that has ended.
        save: saves a checkpoint of the state as it is.
        begun: how far the run had come before; its state is the learner's already.
        stop: asks for the run to be stopped, saved, at its next update.
        history: the metrics of the epochs that have ended.
        best: the best of them.
        first_step_seconds: this process's first step, compilation included.
        step_seconds: seconds a step of all others, averaged between two waits for the device.
    """

    spec: ExperimentSpec
    learner: Learner
    plan: TrainingPlan
    train: Batches
    freezing: Callable[[int], FreezePlan]
    notify: Callable[[str, object], None]
    log: Callable[[EpochMetrics], None]
    save: Callable[[Snapshot], None]
    begun: Begun = field(default_factory=Begun)
    stop: Stop = field(default_factory=Stop)
    history: list[EpochMetrics] = field(init=False)
    best: Best = field(init=False)
    first_step_seconds: float = math.nan
    step_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = list(self.begun.history)
        self.best = Best(self.spec.checkpoint.monitor, self.begun.best)
        self._points = SavePoints(self.spec.checkpoint)
        self._owed = False

    def run(self) -> EpochMetrics:
        """Runs all epochs that are left, or until early stopping; returns the best one's metrics.

        Raises:
            TrainingError: the loss is no longer a finite number.
            StoppedError: it was asked to stop, and is saved.
        """
        patience = Patience(self.spec.early_stopping)
        if not any(patience.exhausted(metrics) for metrics in self.history):
            self._epochs(patience)
        assert self.best.metrics is not None  # the first finite epoch is better than none
        return self.best.metrics

    def _epochs(self, patience: Patience) -> None:
        current: FreezePlan | None = None
        accumulator = self.begun.accumulator
        for epoch in range(len(self.history) + 1, self.spec.epochs + 1):
            plan = self.freezing(epoch)
            if plan != current:
                self.learner.freeze(plan)
                current = plan
            metrics = self._epoch(accumulator or EpochAccumulator(epoch))
            accumulator = None
            self.history.append(metrics)
            self.log(metrics)
            is_best = self.best.update(metrics)
            last = patience.exhausted(metrics) or epoch == self.spec.epochs
            stopping = self.stop.requested and not last
            if stopping or self._owed or self._points.epoch_is_due(epoch, last, is_best):
                self._save(metrics, None, is_best)
            self.notify("isotune_epoch_ended", EpochEnded(metrics, is_best))
            if last:
                return
            self._stop_if_asked(metrics)

    def _epoch(self, accumulator: EpochAccumulator) -> EpochMetrics:
        epoch = accumulator.epoch
        self._train(accumulator)
        self.step_seconds.extend(accumulator.step_seconds)
        metrics = accumulator.metrics(epoch * len(self.train))
        if not self.spec.evaluation.due(epoch, self.spec.epochs):
            return metrics
        start = time.perf_counter()
        result = self.learner.feed.evaluate()
        if not math.isfinite(result.loss):
            raise TrainingError(
                f"the validation loss became {result.loss} in epoch {epoch};"
                " a smaller optimizer.lr usually helps."
            )
        return replace(
            metrics,
            val_loss=result.loss,
            val_accuracy=result.accuracy,
            val_seconds=time.perf_counter() - start,
        )

    def _train(self, accumulator: EpochAccumulator) -> None:
        """Makes the training steps of an epoch, or what is left of it."""
        labels = Labels()
        pending: list[Outputs] = []
        begin = (accumulator.epoch - 1) * len(self.train)
        micro = self._micro_batches(accumulator.epoch - 1)
        mark = time.perf_counter()
        feed = self.learner.feed
        batches = feed.training(
            accumulator.epoch - 1, accumulator.steps, accumulator.waiting, labels
        )
        for number, batch in enumerate(batches, accumulator.steps):
            part, step = micro[number], begin + number
            rate = accumulator.learning_rate = self._learning_rate(begin + part.update_start)
            plan = StepPlan(step, rate, part.loss_scale, part.apply_update)
            pending.append(feed.trainer.train_step(batch, plan))
            self.notify(
                "isotune_step_ended",
                StepEnded(accumulator.epoch, number + 1, accumulator.newest_loss),
            )
            ends = number + 1 == len(self.train)
            self._owed = part.apply_update and self._is_due(begin + part.update_start, step)
            saves = self._owed and not ends  # then it comes with the epoch's end
            first = math.isnan(self.first_step_seconds)
            if first or saves or ends or len(pending) == FETCH_EVERY:
                accumulator.add(feed.trainer.fetch(pending), labels)
                elapsed = time.perf_counter() - mark
                if first:
                    self.first_step_seconds = elapsed
                else:
                    accumulator.step_seconds.append(elapsed / len(pending))
                pending.clear()
                if saves:
                    metrics = accumulator.metrics(step + 1)
                    self._save(metrics, accumulator)
                    self._stop_if_asked(metrics)
                mark = time.perf_counter()

    def _is_due(self, first: int, step: int) -> bool:
        return self.stop.requested or self._points.steps_are_due(first, step)

    def _save(
        self, metrics: EpochMetrics, accumulator: EpochAccumulator | None, is_best: bool = False
    ) -> None:
        self.save(Snapshot(metrics, accumulator, tuple(self.history), self.best.metrics, is_best))
        self._points.saved()

    def _stop_if_asked(self, metrics: EpochMetrics) -> None:
        if self.stop.requested:
            raise StoppedError(
                f"stopped by {self.stop.reason} after step {metrics.steps}, in epoch"
                f" {metrics.epoch} of {self.spec.epochs}; everything is saved."
            )

    def _learning_rate(self, step: int) -> float:
        base, epochs = self.spec.optimizer.lr, self.spec.epochs
        return self.spec.schedule.learning_rate(base, step, len(self.train), epochs)

    def _micro_batches(self, epoch: int) -> list[MicroBatch]:
        if self.spec.accumulate == 1:
            return [MicroBatch(number) for number in range(len(self.train))]
        labels = self.train.labels(epoch)
        return micro_batches(labels, self.spec.accumulate, self.plan.class_weights)

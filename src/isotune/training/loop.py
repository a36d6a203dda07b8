"""The training loop, owned by the core: the same for every backend."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from isotune.data.batches import Batches
from isotune.errors import TrainingError
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import Outputs, TrainingPlan
from isotune.runs.events import EpochEnded, EpochMetrics, StepEnded
from isotune.spec.experiment import ExperimentSpec
from isotune.training.accumulation import Part, parts
from isotune.training.evaluation import FETCH_EVERY
from isotune.training.feeding import Labels
from isotune.training.learner import Learner
from isotune.training.progress import Best, Patience
from isotune.training.schedule import learning_rate
from isotune.training.tally import Tally


@dataclass
class TrainingLoop:
    """Trains a model epoch by epoch.

    Attributes:
        learner: the model in training.
        train: the batches that it is trained on.
        freezing: the freeze plan of an epoch, counted from 1.
        notify: tells observers: name of the hook, event.
        on_epoch: called after each epoch with its metrics and whether it is the best so far;
            saves checkpoints.
        on_step: called after every `checkpoint.every_steps` steps of the run, with the
            figures of the epoch so far; saves a checkpoint.
        first_step_seconds: the run's first step, compilation included.
        step_seconds: seconds a step of all others, averaged between two waits for the device.
    """

    spec: ExperimentSpec
    learner: Learner
    plan: TrainingPlan
    train: Batches
    freezing: Callable[[int], FreezePlan]
    notify: Callable[[str, object], None]
    on_epoch: Callable[[EpochMetrics, bool], None]
    on_step: Callable[[EpochMetrics], None]
    history: list[EpochMetrics] = field(default_factory=list)
    first_step_seconds: float = math.nan
    step_seconds: list[float] = field(default_factory=list)

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
                self.learner.freeze(plan)
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
        tally = Tally(epoch)
        self._train(tally)
        self.step_seconds.extend(tally.step_seconds)
        metrics = tally.metrics(epoch * len(self.train))
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

    def _train(self, tally: Tally) -> None:
        """Makes an epoch's training steps."""
        labels = Labels()
        pending: list[Outputs] = []
        begin = step = (tally.epoch - 1) * len(self.train)
        roles = self._parts(tally.epoch - 1)
        mark = time.perf_counter()
        feed = self.learner.feed
        batches = feed.training(tally.epoch - 1, tally.waiting, labels)
        for number, batch in enumerate(batches, 1):
            part = roles[number - 1]
            rate = tally.learning_rate = self._learning_rate(begin + part.first)
            pending.append(feed.trainer.train_step(batch, rate, step, part.share, part.last))
            self.notify("isotune_step_ended", StepEnded(tally.epoch, number, tally.newest_loss))
            full = len(pending) == FETCH_EVERY or number == len(self.train)
            saves = part.last and self._saves_between(begin + part.first, step)
            if step == 0 or full or saves:
                tally.add(feed.trainer.fetch(pending), labels)
                elapsed = time.perf_counter() - mark
                if step == 0:
                    self.first_step_seconds = elapsed
                else:
                    tally.step_seconds.append(elapsed / len(pending))
                pending.clear()
                if saves:
                    self.on_step(tally.metrics(step + 1))
                mark = time.perf_counter()
            step += 1

    def _learning_rate(self, step: int) -> float:
        base, epochs = self.spec.optimizer.lr, self.spec.epochs
        return learning_rate(self.spec.schedule, base, step, len(self.train), epochs)

    def _parts(self, epoch: int) -> list[Part]:
        if self.spec.accumulate == 1:
            return [Part(number, 1.0, True) for number in range(len(self.train))]
        return parts(self.train.labels(epoch), self.spec.accumulate, self.plan.class_weights)

    def _saves_between(self, first: int, step: int) -> bool:
        # Between updates there is no state to save: a checkpoint due there waits for the next.
        every = self.spec.checkpoint.every_steps
        return every is not None and (step + 1) // every > first // every

"""The training loop, owned by the core: the same for every backend."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NoReturn

import numpy as np

from isotune.data.batches import Batches
from isotune.data.integrity.broken import fault
from isotune.distributed.group import Group
from isotune.errors import DatasetError, StoppedError, TrainingError
from isotune.interfaces.division import UNDIVIDED, Division
from isotune.interfaces.events import EpochEnded, StepEnded, StopRequest
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.trainer import Outputs, StepPlan, TrainingPlan
from isotune.spec.experiment import ExperimentSpec
from isotune.training.accumulator import EpochAccumulator, scored
from isotune.training.agreement import Agreement
from isotune.training.checkpoint_schedule import CheckpointSchedule
from isotune.training.evaluation import FETCH_EVERY, LabelBatches
from isotune.training.finite import check_evaluation, check_losses, check_state
from isotune.training.learner import Learner
from isotune.training.micro_batches import MicroBatch, epoch_micro_batches
from isotune.training.progress import Best, Patience, Progress
from isotune.training.saver import Saver
from isotune.training.step_plan import step_plan


@dataclass
class TrainingLoop:
    """Trains a model epoch by epoch.

    Attributes:
        spec: The resolved spec.
        learner: The model in training.
        plan: What a trainer needs to know.
        train: The training batches.
        freezing: Returns the freeze plan of an epoch, counted from 1.
        notify: Notifies observers, given the hook's name and the event.
        log: Receives the metrics of an epoch that has ended.
        saver: Saves checkpoints.
        start: How far the run has come before; the learner has its state already.
        stop: Asks the run to stop, saved, at its next update.
        group: The processes that train it. Only process 0 notifies, logs and saves.
        division: How they divide a batch.
        history: Metrics of the epochs that have ended.
        best: The best of them.
        first_step_seconds: Seconds of this process's first step, compilation included.
        step_seconds: Seconds of each later step, averaged between two waits for the device.
    """

    spec: ExperimentSpec
    learner: Learner
    plan: TrainingPlan
    train: Batches
    freezing: Callable[[int], FreezePlan]
    notify: Callable[[str, object], None]
    log: Callable[[EpochMetrics], None]
    saver: Saver
    start: Progress = field(default_factory=Progress)
    stop: StopRequest = field(default_factory=StopRequest)
    group: Group = field(default_factory=Group)
    division: Division = UNDIVIDED
    history: list[EpochMetrics] = field(init=False)
    best: Best = field(init=False)
    first_step_seconds: float = math.nan
    step_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = list(self.start.history)
        self.best = Best(self.spec.checkpoint.monitor, self.start.best)
        self._schedule = CheckpointSchedule(self.spec.checkpoint)
        self._agreement = Agreement(self.group, self.stop, self._schedule.clock_is_due)
        self._checkpoint_due = False
        self._saved = self._steps(self.start.accumulator)

    def run(self) -> EpochMetrics:
        """Runs all epochs that are left, or until early stopping; returns the best one's metrics.

        Raises:
            TrainingError: the loss or the model's state is no longer finite, or the monitored
                metric has no value in any epoch.
            StoppedError: the run was asked to stop, and is saved.
            DatasetError: the same, for a fault of the dataset.
            IsotuneError: a checkpoint cannot be saved, or another process has failed; the
                sentence is its own.
        """
        patience = Patience(self.spec.early_stopping)
        if not any(patience.exhausted(metrics) for metrics in self.history):
            with self.group.reporting():
                try:
                    self._epochs(patience)
                except TrainingError:
                    self.saver.wait()  # what was wrong with a state that it saves came first
                    raise
        if self.best.metrics is None:
            raise TrainingError(
                f"checkpoint.monitor: {self.best.monitor} had no finite value in any epoch, so"
                " that none of them is the best; the last checkpoint is kept."
            )
        return self.best.metrics

    def _epochs(self, patience: Patience) -> None:
        current: FreezePlan | None = None
        accumulator = self.start.accumulator
        for epoch in range(len(self.history) + 1, self.spec.epochs + 1):
            plan = self.freezing(epoch)
            if plan != current:
                self.learner.freeze(plan)
                current = plan
            accumulator = accumulator or EpochAccumulator(epoch)
            metrics, loss = self._epoch(accumulator), accumulator.last_loss
            accumulator = None
            self.history.append(metrics)
            if self.group.place.leads:
                self.log(metrics)
            is_best = self.best.update(metrics)
            last = patience.exhausted(metrics) or epoch == self.spec.epochs
            due = self._checkpoint_due or self._schedule.epoch_is_due(epoch, last, is_best)
            if due:
                self._save(metrics, None, is_best)
            if is_best or last:
                self.saver.wait()
            self._notify("isotune_epoch_ended", EpochEnded(metrics, is_best, self.stop, loss))
            if last:
                return
            self._agreement.reach()
            if self._agreement.stop.requested:
                if not due:
                    self._save(metrics, None)
                self._raise_stopped(metrics)

    def _epoch(self, accumulator: EpochAccumulator) -> EpochMetrics:
        epoch = accumulator.epoch
        self._train(accumulator)
        check_state(self.learner.changing_state(), epoch)
        self.step_seconds.extend(accumulator.step_seconds)
        metrics = self._metrics(accumulator, epoch * len(self.train))
        if not self.spec.evaluation.due(epoch, self.spec.epochs):
            return metrics
        last = epoch == self.spec.epochs
        if self._checkpoint_due or self._schedule.epoch_is_due(epoch, last, best=False):
            self.saver.begin(epoch)
        start = time.perf_counter()
        try:
            result = self.learner.evaluate()
        except DatasetError as error:
            self._agreement.stop.request(fault(error), fault=True)
            self._save(metrics, accumulator)
            self._raise_stopped(metrics)
        check_evaluation(self.learner, result.loss, epoch)
        evaluated = {f"val_{name}": value for name, value in result.metrics.items()}
        seconds = time.perf_counter() - start
        values = {**metrics.values, **evaluated}
        thresholds = None if result.thresholds is None else tuple(result.thresholds.tolist())
        return replace(metrics, values=values, val_seconds=seconds, thresholds=thresholds)

    def _train(self, accumulator: EpochAccumulator) -> None:
        """Makes the training steps of an epoch, or what is left of it."""
        labels = LabelBatches()
        pending: list[Outputs] = []
        first, own = accumulator.steps, len(self.division.own)
        begin = (accumulator.epoch - 1) * len(self.train)
        schedule = epoch_micro_batches(
            self.spec, self.plan, self.train, accumulator.epoch - 1, self.division
        )
        mark = time.perf_counter()
        strategy = self.learner.strategy
        batches = strategy.training(accumulator.epoch - 1, first, accumulator.waiting, labels)
        for number in range(first, len(self.train)):
            parts = list(islice(batches, own))
            micro_batches = schedule[number * own : (number + 1) * own]
            last = micro_batches[-1]
            between = last.update_start == number > first
            if not self._goes_on(bool(parts), between):
                break
            step, first_step = begin + number, begin + last.update_start
            plans = [self._step_plan(step, each) for each in micro_batches]
            accumulator.learning_rate = plans[0].learning_rate
            with self.group.in_collective():
                pending += map(strategy.trainer.train_step, parts, plans)
            loss, known = accumulator.last_loss, begin + accumulator.steps
            event = StepEnded(accumulator.epoch, number + 1, loss, self.stop, known)
            self._notify("isotune_step_ended", event)
            ends = number + 1 == len(self.train)
            self._checkpoint_due = last.apply_update and self._is_due(first_step, step)
            saves = self._checkpoint_due and not ends  # at the end it comes with the epoch's
            first_ever = math.isnan(self.first_step_seconds)
            if first_ever or saves or ends or len(pending) == FETCH_EVERY * own:
                self._fetch(pending, labels, accumulator, mark)
                if saves:
                    metrics = self._metrics(accumulator, step + 1)
                    self._save(metrics, accumulator)
                    if self._agreement.stop.requested:
                        self._raise_stopped(metrics)
                mark = time.perf_counter()
        if accumulator.steps + len(pending) // own < len(self.train):
            if pending:
                self._fetch(pending, labels, accumulator, mark)
            self._end_early(accumulator)

    def _goes_on(self, more: bool, between: bool) -> bool:
        """Whether all processes make the next step.

        Args:
            more: Whether this one has its images.
            between: Whether steps have been made, and the last one ended in an update: a run that
                stops does so before the next one.
        """
        self.saver.check()  # the others hear of an error before they wait for each other
        more = self._agreement.reach(more)
        return more and (self.group.place.alone or not (between and self._agreement.stop.requested))

    def _fetch(
        self,
        pending: list[Outputs],
        labels: LabelBatches,
        accumulator: EpochAccumulator,
        mark: float,
    ) -> None:
        """Waits for the outputs of steps that began at `mark`, and adds them up."""
        with self.group.in_collective():
            fetched = self.learner.strategy.trainer.fetch(pending)
        own = scored(fetched, labels, self.plan, len(self.division.own))
        scores = np.concatenate(self.group.arrays(own), axis=1)
        check_losses(self.learner, scores, accumulator)
        accumulator.add(scores)
        elapsed = time.perf_counter() - mark
        if math.isnan(self.first_step_seconds):
            self.first_step_seconds = elapsed
        else:
            accumulator.step_seconds.append(elapsed / len(scores))
        pending.clear()

    def _end_early(self, accumulator: EpochAccumulator) -> NoReturn:
        """Saves what was trained before an image of the next update turned out to be broken."""
        steps = self._steps(accumulator)
        if steps == 0:
            raise DatasetError(f"{self._agreement.stop.reason}. No step was made.")
        within = accumulator if accumulator.steps else None
        metrics = self._metrics(accumulator, steps) if within else self.history[-1]
        if steps != self._saved:
            self._save(metrics, within)
        self._raise_stopped(metrics)

    def _metrics(self, accumulator: EpochAccumulator, steps: int) -> EpochMetrics:
        """Returns the metrics of the epoch so far, `steps` training steps into the run."""
        clips = self.spec.clip_grad_norm is not None
        return accumulator.metrics(steps, self.spec.metrics, clips)

    def _step_plan(self, step: int, micro_batch: MicroBatch) -> StepPlan:
        return step_plan(self.spec, len(self.train), step, micro_batch, self.history)

    def _steps(self, accumulator: EpochAccumulator | None) -> int:
        """Returns the number of steps made in the run, given the sums of the epoch in progress."""
        return len(self.history) * len(self.train) + (accumulator.steps if accumulator else 0)

    def _is_due(self, first: int, step: int) -> bool:
        due = self._schedule.step_is_due(first, step) or self._agreement.due
        return self._agreement.stop.requested or due

    def _notify(self, hook: str, event: object) -> None:
        if self.group.place.leads:
            self.notify(hook, event)

    def _save(
        self, metrics: EpochMetrics, accumulator: EpochAccumulator | None, is_best: bool = False
    ) -> None:
        progress = Progress(tuple(self.history), self.best.metrics, accumulator)
        self.saver.save(progress, metrics, is_best)
        self._schedule.saved()
        self._saved = metrics.steps

    def _raise_stopped(self, metrics: EpochMetrics) -> NoReturn:
        self.saver.wait()
        stop = self._agreement.stop
        where = f"after step {metrics.steps}, in epoch {metrics.epoch} of {self.spec.epochs}"
        if stop.fault:
            raise DatasetError(
                f"{stop.reason}. The run stopped {where}; everything is saved, and it can be"
                " resumed."
            )
        raise StoppedError(f"stopped by {stop.reason} {where}; everything is saved.")

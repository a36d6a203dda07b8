"""Trains a prepared experiment and saves checkpoints as the spec asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from isotune.data.duplicates import check_duplicates
from isotune.data.integrity.background import BackgroundCheck
from isotune.errors import LostProcessError
from isotune.experiment.checkpoint_writer import CheckpointWriter
from isotune.experiment.leading import Notify
from isotune.experiment.listed_images import listed_images
from isotune.experiment.result import Run
from isotune.experiment.run_summary import end_status, final_summary, initial_summary
from isotune.experiment.summary import summarize_model
from isotune.experiment.trackers import also_trackers
from isotune.interfaces.checkpoint import State
from isotune.interfaces.events import RunEnded, RunFinished, RunStarted
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.summary import ModelSummary
from isotune.models.build import freezing_plans
from isotune.models.head import head_path
from isotune.reports.history import History
from isotune.runs.folder import RunFolder
from isotune.runs.images import check_same_images, read_images, write_images
from isotune.runs.schema import LineageEntry
from isotune.training.features.plan import Strategies, plan_strategies
from isotune.training.last_batch import check_last_batch
from isotune.training.learner import Learner
from isotune.training.loop import TrainingLoop
from isotune.training.plan import mention_idle_epochs
from isotune.training.progress import Progress
from isotune.training.session import Session
from isotune.training.shared_caches import share_pixels
from isotune.training.stop import stop_on_signals

STILL_THERE = 60.0
"""Seconds after which process 0 tells others that wait for it that it still works."""


@dataclass(frozen=True)
class ResumeState:
    """Where training starts: at its first step, or where an earlier process got to.

    Attributes:
        progress: How far the run has come.
        steps: Number of training steps made.
        learning_rate: Learning rate of the last of them.
        optimizer: The optimizer's state; None at the first step.
        average: Averages of the model's tensors; None at the first step or without averages.
        lineage: Who trained before.
    """

    progress: Progress = field(default_factory=Progress)
    steps: int = 0
    learning_rate: float = 0.0
    optimizer: State | None = None
    average: State | None = None
    lineage: tuple[LineageEntry, ...] = ()


@dataclass
class PreparedExperiment:
    """An experiment that is ready to train.

    Attributes:
        session: The experiment on its backend.
        model: Native, with the values that training starts from.
        freezing: Returns the freeze plan of an epoch, counted from 1.
        strategies: Chooses the training strategy of an epoch.
        layers: The model's layers, and when each of them trains.
        start: Where training starts.
    """

    session: Session
    model: Any
    freezing: Callable[[int], FreezePlan]
    strategies: Strategies
    layers: ModelSummary
    start: ResumeState

    @classmethod
    def prepare(cls, session: Session, model: Any, start: ResumeState) -> PreparedExperiment:
        """Derives the remaining parts.

        Raises:
            SpecError: a pattern matches no parameter, nothing is left to train, a training batch
                is too small for BatchNorm, or ``cache.views`` would have no effect.
        """
        share_pixels(session.group, session.images.caches)
        shapes = session.backend.state_adapter.model_shapes(model)
        freezing = freezing_plans(session.spec, session.entry, shapes)
        check_last_batch(session, model, freezing, len(start.progress.history) + 1)
        strategies = plan_strategies(session, model, freezing(1))
        mention_idle_epochs(session.spec, len(session.training_batches()))
        layers = summarize_model(session.spec, shapes, freezing, session.plan)
        return cls(session, model, freezing, strategies, layers, start)

    def run(self, folder: RunFolder, notify: Notify) -> Run:
        """Trains, and restores the best weights.

        Whatever ends the run, observers are notified of its end.

        Args:
            folder: The run folder, claimed by this process.
            notify: Notifies observers.

        Raises:
            StoppedError: the run was asked to stop, and everything is saved.
            TrainingError: the loss is no longer a finite number.
            RunError: the folder cannot be written.
        """
        session = self.session
        folder.write_summary(initial_summary(session))
        check, leads = session.images.check, session.group.place.leads
        if leads and (check is None or self.start.steps == 0 or read_images(folder.path) is None):
            write_images(folder.path, listed_images(session, contents=check is None))
        learner = self.learner()
        writer = self.writer(folder, learner)
        notify = also_trackers(session, folder.path, notify)
        with stop_on_signals(session.group.place.alone) as stop:
            loop = TrainingLoop(
                spec=session.spec,
                learner=learner,
                plan=session.plan,
                train=session.training_batches(),
                freezing=self.freezing,
                notify=notify,
                log=folder.append_metrics,
                saver=writer,
                start=self.start.progress,
                stop=stop,
                group=session.group,
                division=session.division,
            )
            return self._train(folder, loop, writer, notify)

    def learner(self) -> Learner:
        """Returns what trains, in the state in which training starts."""
        start = self.start
        return Learner(self.session.backend, self.strategies, start.optimizer, start.average)

    def writer(self, folder: RunFolder, learner: Learner) -> CheckpointWriter:
        """Returns what writes the checkpoints of this part of a run."""
        session, start = self.session, self.start
        here = LineageEntry(
            step=start.steps, backend=session.backend.name, device=session.backend.device
        )
        return CheckpointWriter(session, folder, learner, (*start.lineage, here))

    def _finished(self, folder: RunFolder, loop: TrainingLoop, best: EpochMetrics) -> Run:
        """Returns the run, whose model has the best weights."""
        session = self.session
        return Run(
            folder=folder,
            spec=session.spec,
            classes=session.classes,
            entry=session.entry,
            plan=session.plan,
            backend=session.backend,
            model=self.model,
            head=head_path(session.spec.head, session.entry),
            history=History(loop.history),
            best=best,
        )

    def _train(
        self, folder: RunFolder, loop: TrainingLoop, writer: CheckpointWriter, notify: Notify
    ) -> Run:
        begin = time.perf_counter()
        try:
            notify("isotune_run_started", self._started_event(folder, loop))
            try:
                with closing(writer):
                    best = self._checked(folder, loop)
            finally:
                self.session.images.caches.close()
                loop.learner.close()
            writer.restore_best(self.model)
        except BaseException as error:
            with suppress(Exception):  # `error` is what the user should see
                self._end(folder, loop, time.perf_counter() - begin, notify, error)
            if isinstance(error, LostProcessError):
                raise _resumable(error, folder) from error
            raise
        finished = cache(partial(self._finished, folder, loop, best))
        self._end(folder, loop, time.perf_counter() - begin, notify, finished=finished)
        return finished()

    def _checked(self, folder: RunFolder, loop: TrainingLoop) -> EpochMetrics:
        """Trains, and checks the images beside it if they have not been checked before."""
        check = self.session.images.check
        if check is None:
            return loop.run()

        def done() -> None:
            dataset = self.session.spec.dataset
            train, val = check.readable("train"), check.readable("val")
            check_duplicates(train, val, dataset.splits, dataset.duplicates)
            check_same_images(folder.path, listed_images(self.session))
            write_images(folder.path, listed_images(self.session))

        check.start(loop.stop, done)
        try:
            best = loop.run()
            self._finish(check)
        finally:
            check.close()
        return best

    def _finish(self, check: BackgroundCheck) -> None:
        """Waits for the check in process 0, and lets the others know that it still goes on."""
        group, done = self.session.group, False
        while not done:
            with group.reporting():
                done = check.finish(STILL_THERE)
            done = all(group.exchange(b"done" if done else b""))

    def _end(
        self,
        folder: RunFolder,
        loop: TrainingLoop,
        seconds: float,
        notify: Notify,
        error: BaseException | None = None,
        finished: Callable[[], Run] | None = None,
    ) -> None:
        summary = final_summary(self.session, self.layers, loop, seconds, error)
        try:
            folder.write_summary(summary)
            if error is None:
                notify("isotune_run_finished", RunFinished(folder.path, summary, finished))
        except BaseException as raised:
            error = error or raised
            raise
        finally:
            notify("isotune_run_ended", RunEnded(folder.path, end_status(error), summary, error))

    def _started_event(self, folder: RunFolder, loop: TrainingLoop) -> RunStarted:
        session = self.session
        return RunStarted(
            folder=folder.path,
            spec=session.spec,
            backend=session.backend.name,
            device=session.backend.device,
            classes=session.classes,
            counts=session.images.counts(),
            skipped=dict(session.images.skipped),
            steps_per_epoch=len(loop.train),
            model=self.layers,
            features=self.strategies.description,
            steps=self.start.steps,
            stop=loop.stop,
            history=tuple(loop.history),
            sample=lambda: next(iter(loop.train.epoch(len(loop.history)))).images,
            images={name: len(source) for name, source in session.images.splits.items()},
        )


def _resumable(error: LostProcessError, folder: RunFolder) -> LostProcessError:
    """Returns the error with the command that continues the run."""
    what = str(error).removesuffix(".")
    return LostProcessError(f"{what}; `isotune resume {folder.path}` continues the run.")

"""A run whose every part is ready: trains it, and keeps what the spec says of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from isotune.data.pictures import Pictures
from isotune.errors import RunError
from isotune.features.planning import Feeds, plan_feeds
from isotune.inspection import describe
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.modelling import freezing_plans
from isotune.reports.model_summary import ModelSummary
from isotune.runs.events import RunFinished, RunStarted
from isotune.runs.folder import RunFolder
from isotune.runs.run import Run
from isotune.runs.saving import Saver, Segment
from isotune.runs.summary import started, summarise
from isotune.spec.experiment import ExperimentSpec
from isotune.training.learner import Learner
from isotune.training.loop import TrainingLoop
from isotune.training.progress import Begun
from isotune.training.stopping import Stop, stop_on_signals

Notify = Callable[[str, object], None]


@dataclass(frozen=True)
class Start:
    """Where training begins: at its first step, or where an earlier process came to.

    Attributes:
        begun: how far it came.
        steps: training steps that it made.
        optimizer: the optimizer's state; None at the first step.
        segments: who trained before.
    """

    begun: Begun = field(default_factory=Begun)
    steps: int = 0
    optimizer: State | None = None
    segments: tuple[Segment, ...] = ()


@dataclass
class Fit:
    """A run whose every part is ready.

    Attributes:
        model: native, with the values that training begins with.
    """

    spec: ExperimentSpec
    backend: Backend
    pictures: Pictures
    model: Any
    plan: TrainingPlan
    freezing: Callable[[int], FreezePlan]
    feeds: Feeds
    layers: ModelSummary
    start: Start

    @classmethod
    def prepare(
        cls,
        spec: ExperimentSpec,
        entry: BackboneEntry,
        backend: Backend,
        pictures: Pictures,
        model: Any,
        plan: TrainingPlan,
        start: Start,
    ) -> Fit:
        """Makes the parts that follow from others.

        Raises:
            SpecError: a pattern matches no parameter, nothing is left to train, or
                ``cache.views`` would have no effect.
        """
        shapes = backend.checkpoints.model_shapes(model)
        freezing = freezing_plans(spec, entry, shapes)
        feeds = plan_feeds(spec, entry, backend, model, plan, pictures, freezing(1))
        layers = describe(spec, shapes, freezing)
        return cls(spec, backend, pictures, model, plan, freezing, feeds, layers, start)

    def run(self, folder: RunFolder, notify: Notify) -> Run:
        """Trains, and restores the best weights.

        Args:
            folder: this process's.
            notify: tells observers: name of the hook, event.

        Raises:
            StoppedError: a signal asked to stop, and everything is saved.
            TrainingError: the loss is no longer a finite number.
            RunError: the folder cannot be written.
        """
        folder.write_summary(started(self.spec, self.backend))
        notify("isotune_run_started", self._started(folder))
        learner = Learner(self.backend, self.feeds, self.start.optimizer)
        saver = self._saver(folder, learner)
        begin = time.perf_counter()
        with stop_on_signals() as stop:
            loop = self._loop(folder, learner, saver, notify, stop)

            def summary(stopped: BaseException | None = None) -> dict[str, Any]:
                seconds = time.perf_counter() - begin
                return summarise(
                    self.spec, self.backend, self.pictures, self.layers, loop, seconds, stopped
                )

            try:
                best = loop.run()
            except BaseException as error:  # a run that is stopped, too, leaves its summary
                with suppress(RunError):  # the disk may be full, which `error` tells
                    folder.write_summary(summary(error))
                raise
            finally:
                self.pictures.kept.close()
                learner.close()
        saver.restore_best(self.model)
        folder.write_summary(finished := summary())
        notify("isotune_run_finished", RunFinished(folder.path, finished))
        return Run(
            folder=folder,
            spec=self.spec,
            classes=self.pictures.classes,
            plan=self.plan,
            backend=self.backend,
            model=self.model,
            history=tuple(loop.history),
            best=best,
        )

    def _saver(self, folder: RunFolder, learner: Learner) -> Saver:
        backend = self.backend
        here = {"step": self.start.steps, "backend": backend.name, "device": backend.device}
        return Saver(
            folder=folder,
            spec=self.spec,
            plan=self.plan,
            classes=self.pictures.classes,
            pictures=len(self.pictures.train),
            backend=backend,
            learner=learner,
            segments=(*self.start.segments, here),
        )

    def _loop(
        self, folder: RunFolder, learner: Learner, saver: Saver, notify: Notify, stop: Stop
    ) -> TrainingLoop:
        return TrainingLoop(
            spec=self.spec,
            learner=learner,
            plan=self.plan,
            train=self.pictures.training_batches(self.spec),
            freezing=self.freezing,
            notify=notify,
            log=folder.append_metrics,
            save=saver.save,
            begun=self.start.begun,
            stop=stop,
        )

    def _started(self, folder: RunFolder) -> RunStarted:
        return RunStarted(
            folder=folder.path,
            spec=self.spec,
            backend=self.backend.name,
            device=self.backend.device,
            classes=self.pictures.classes,
            counts=self.pictures.counts(),
            skipped=self.pictures.skipped,
            steps_per_epoch=len(self.pictures.training_batches(self.spec)),
            model=self.layers,
            features=self.feeds.described,
            steps=self.start.steps,
        )

"""A run whose every part is ready: trains it, and keeps what the spec says of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import resolve
from isotune.data.images import Images, open_images
from isotune.errors import RunError
from isotune.experiment.result import Run
from isotune.experiment.run_summary import started, summarize
from isotune.experiment.saver import LineageEntry, Saver
from isotune.experiment.summary import describe
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.events import RunFinished, RunStarted
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.summary import ModelSummary
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.build import build_model, freezing_plans
from isotune.models.head import head_path
from isotune.plugins import Plugins
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.training.features.plan import Feeds, plan_feeds
from isotune.training.learner import Learner
from isotune.training.loop import TrainingLoop
from isotune.training.plan import check_precision, training_plan
from isotune.training.progress import Begun
from isotune.training.stop import Stop, stop_on_signals

Notify = Callable[[str, object], None]


@dataclass(frozen=True)
class Start:
    """Where training begins: at its first step, or where an earlier process came to.

    Attributes:
        begun: how far it came.
        steps: training steps that it made.
        optimizer: the optimizer's state; None at the first step.
        lineage: who trained before.
    """

    begun: Begun = field(default_factory=Begun)
    steps: int = 0
    optimizer: State | None = None
    lineage: tuple[LineageEntry, ...] = ()


@dataclass(frozen=True)
class Setup:
    """What an experiment needs before it has a model.

    Attributes:
        spec: resolved.
        entry: its backbone.
    """

    spec: ExperimentSpec
    entry: BackboneEntry
    backend: Backend
    images: Images
    plan: TrainingPlan

    @classmethod
    def open(cls, spec: ExperimentSpec, backend: str, device: str, plugins: Plugins) -> Setup:
        """Opens the backend, and finds and checks the images.

        Raises:
            IsotuneError: one of its kinds, with a sentence that says what to change.
        """
        entry = chosen_backbone(spec.backbone, backend, plugins)
        spec = resolve(spec, entry)
        opened = plugins.open_backend(backend, device)
        check_precision(spec, opened)
        images = open_images(spec)
        return cls(spec, entry, opened, images, training_plan(spec, entry, images))

    def new_model(self) -> Any:
        """Returns the native model at its first step.

        Raises:
            WeightsError: the weights are missing or do not fit.
            BackendError: the backend does not have the backbone.
        """
        return build_model(self.spec, self.entry, self.backend, len(self.images.classes))


@dataclass
class Fit:
    """A run whose every part is ready.

    Attributes:
        model: native, with the values that training begins with.
        head: canonical path of its head.
    """

    setup: Setup
    model: Any
    freezing: Callable[[int], FreezePlan]
    feeds: Feeds
    layers: ModelSummary
    head: str
    start: Start

    @classmethod
    def prepare(cls, setup: Setup, model: Any, start: Start) -> Fit:
        """Makes the parts that follow from others.

        Raises:
            SpecError: a pattern matches no parameter, nothing is left to train, or
                ``cache.views`` would have no effect.
        """
        spec, entry, backend = setup.spec, setup.entry, setup.backend
        shapes = backend.checkpoints.model_shapes(model)
        freezing = freezing_plans(spec, entry, shapes)
        images, first = setup.images, freezing(1)
        feeds = plan_feeds(spec, entry, backend, model, setup.plan, images, first)
        layers = describe(spec, shapes, freezing)
        return cls(setup, model, freezing, feeds, layers, head_path(spec.head, entry), start)

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
        folder.write_summary(started(self.setup.spec, self.setup.backend))
        notify("isotune_run_started", self._started(folder))
        learner = Learner(self.setup.backend, self.feeds, self.start.optimizer)
        saver = self._saver(folder, learner)
        begin = time.perf_counter()
        with stop_on_signals() as stop:
            loop = self._loop(folder, learner, saver, notify, stop)

            def summary(stopped: BaseException | None = None) -> dict[str, Any]:
                seconds = time.perf_counter() - begin
                return summarize(
                    self.setup.spec,
                    self.setup.backend,
                    self.setup.images,
                    self.layers,
                    loop,
                    seconds,
                    stopped,
                )

            try:
                best = loop.run()
            except BaseException as error:  # a run that is stopped, too, leaves its summary
                with suppress(RunError):  # the disk may be full, which `error` tells
                    folder.write_summary(summary(error))
                raise
            finally:
                self.setup.images.caches.close()
                learner.close()
        saver.restore_best(self.model)
        folder.write_summary(finished := summary())
        notify("isotune_run_finished", RunFinished(folder.path, finished))
        return Run(
            folder=folder,
            spec=self.setup.spec,
            classes=self.setup.images.classes,
            plan=self.setup.plan,
            backend=self.setup.backend,
            model=self.model,
            head=self.head,
            history=tuple(loop.history),
            best=best,
        )

    def _saver(self, folder: RunFolder, learner: Learner) -> Saver:
        backend = self.setup.backend
        here = {"step": self.start.steps, "backend": backend.name, "device": backend.device}
        return Saver(
            folder=folder,
            spec=self.setup.spec,
            plan=self.setup.plan,
            classes=self.setup.images.classes,
            images=len(self.setup.images.train),
            backend=backend,
            learner=learner,
            lineage=(*self.start.lineage, here),
        )

    def _loop(
        self, folder: RunFolder, learner: Learner, saver: Saver, notify: Notify, stop: Stop
    ) -> TrainingLoop:
        return TrainingLoop(
            spec=self.setup.spec,
            learner=learner,
            plan=self.setup.plan,
            train=self.setup.images.training_batches(self.setup.spec),
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
            spec=self.setup.spec,
            backend=self.setup.backend.name,
            device=self.setup.backend.device,
            classes=self.setup.images.classes,
            counts=self.setup.images.counts(),
            skipped=self.setup.images.skipped,
            steps_per_epoch=len(self.setup.images.training_batches(self.setup.spec)),
            model=self.layers,
            features=self.feeds.described,
            steps=self.start.steps,
        )

"""The one orchestrator: a spec and a backend in, a finished run out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isotune.data.pictures import Pictures, open_pictures
from isotune.features.planning import Feeds, plan_feeds
from isotune.inspection import describe
from isotune.interfaces.backend import Backend
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.modelling import build_model, check_precision, freezing_plans, training_plan
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.reports.model_summary import ModelSummary
from isotune.runs.events import RunFinished, RunStarted
from isotune.runs.folder import RunFolder
from isotune.runs.run import Run
from isotune.runs.saving import Saver
from isotune.runs.summary import summarise
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.loading import SpecSource, load_spec
from isotune.spec.resolving import resolve
from isotune.training.learner import Learner
from isotune.training.loop import TrainingLoop
from isotune.weights.catalogue import catalogue, find_backbone


def run(
    spec: SpecSource,
    *,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    output: str | Path | None = None,
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
) -> Run:
    """Runs an experiment.

    Args:
        spec: the path of a YAML file, the name of a recipe, a mapping, or a spec.
        backend: ``torch``, ``mindspore`` or another that is installed; None takes the only
            one there is.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``ascend:0`` ...
        overrides: ``"optimizer.lr=0.01"``, as ``--set`` on the command line.
        output: the run folder, new or empty; by default ``runs/NAME-BACKEND-TIME``.
        observers: objects with methods of :mod:`isotune.hookspecs`, told of this run.
        plugins: where backends, backbones and observers are found.

    Returns:
        The finished run, its model restored to the best epoch's weights.

    Raises:
        IsotuneError: one of its kinds, with a sentence that says what to change.
    """
    loaded = load_spec(spec, overrides)
    backend = backend or plugins.only_usable()
    entry = find_backbone(loaded.backbone.name, catalogue(plugins.backbones(backend)))
    loaded = resolve(loaded, entry)
    opened = plugins.open_backend(backend, device)
    check_precision(loaded, opened)
    pictures = open_pictures(loaded)
    plan = training_plan(loaded, pictures)
    model = build_model(loaded, entry, opened, len(pictures.classes))
    shapes = opened.checkpoints.model_shapes(model)
    freezing = freezing_plans(loaded, entry, shapes)
    feeds = plan_feeds(loaded, entry, opened, model, plan, pictures, freezing(1))
    layers = describe(loaded, shapes, freezing)
    folder = RunFolder.create(loaded, opened.name, Path(output) if output else None)

    def notify(hook: str, event: object) -> None:
        plugins.notify(hook, event, observers)

    notify("isotune_run_started", _started(loaded, opened, pictures, folder, layers, feeds))
    learner = Learner(opened, feeds)
    return _Fit(
        loaded, opened, pictures, model, plan, learner, folder, freezing, notify, layers
    ).run()


@dataclass
class _Fit:
    """A run whose every part is ready."""

    spec: ExperimentSpec
    backend: Backend
    pictures: Pictures
    model: Any
    plan: TrainingPlan
    learner: Learner
    folder: RunFolder
    freezing: Callable[[int], FreezePlan]
    notify: Callable[[str, object], None]
    layers: ModelSummary

    def run(self) -> Run:
        """Trains, keeps what the spec says of it, and restores the best weights."""
        saver = self._saver()
        loop = self._loop(saver)
        begin = time.perf_counter()

        def summary(stopped: BaseException | None = None) -> dict[str, Any]:
            seconds = time.perf_counter() - begin
            return summarise(
                self.spec, self.backend, self.pictures, self.layers, loop, seconds, stopped
            )

        try:
            best = loop.run()
        except BaseException as error:  # an interrupted run, too, leaves its summary
            self.folder.write_summary(summary(error))
            raise
        finally:
            self.pictures.kept.close()
            self.learner.close()
        saver.restore_best(self.model)
        self.folder.write_summary(finished := summary())
        self.notify("isotune_run_finished", RunFinished(self.folder.path, finished))
        return Run(
            folder=self.folder,
            spec=self.spec,
            classes=self.pictures.classes,
            plan=self.plan,
            backend=self.backend,
            model=self.model,
            history=tuple(loop.history),
            best=best,
        )

    def _saver(self) -> Saver:
        return Saver(
            folder=self.folder,
            spec=self.spec,
            plan=self.plan,
            classes=self.pictures.classes,
            backend=self.backend,
            learner=self.learner,
        )

    def _loop(self, saver: Saver) -> TrainingLoop:
        return TrainingLoop(
            spec=self.spec,
            learner=self.learner,
            plan=self.plan,
            train=self.pictures.training_batches(self.spec),
            freezing=self.freezing,
            notify=self.notify,
            on_epoch=saver.epoch,
            on_step=saver.step,
        )


def _started(
    spec: ExperimentSpec,
    backend: Backend,
    pictures: Pictures,
    folder: RunFolder,
    layers: ModelSummary,
    feeds: Feeds,
) -> RunStarted:
    return RunStarted(
        folder=folder.path,
        spec=spec,
        backend=backend.name,
        device=backend.device,
        classes=pictures.classes,
        counts=pictures.counts(),
        skipped=pictures.skipped,
        steps_per_epoch=len(pictures.training_batches(spec)),
        model=layers,
        features=feeds.described,
    )

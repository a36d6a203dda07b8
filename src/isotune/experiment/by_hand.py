"""An experiment whose training loop the user writes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from isotune.distributed.group import Group
from isotune.distributed.joined import Joined
from isotune.errors import RunError, SpecError
from isotune.experiment.continued import claimed, open_saved
from isotune.experiment.listed_images import listed_images
from isotune.experiment.prepared import PreparedExperiment, ResumeState
from isotune.experiment.run_summary import final_summary, initial_summary
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import DeviceBatch, Labels
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.metrics import EVERY_EPOCH, EpochMetrics
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.runs.folder import RunFolder
from isotune.runs.images import write_images
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecSource, load_spec
from isotune.training.accumulator import Stopwatch
from isotune.training.evaluation import AnyEvaluation, LabelBatches
from isotune.training.isolation import isolated
from isotune.training.micro_batches import epoch_micro_batches
from isotune.training.progress import Best, Progress
from isotune.training.session import Session
from isotune.training.step_plan import step_plan

BEFORE = "dataset.check=before_training"
"""Beside a user's loop nothing checks images."""


@dataclass(frozen=True)
class Step:
    """What a training step needs.

    Attributes:
        batch: The images, or features of them where the backbone is frozen, on the device.
        labels: Labels of the batch on the host: int32, shape (N,); float32, shape (N, classes),
            where images have several or were mixed.
        plan: What the spec says of the step: its number, its learning rate and more.
            ``dataclasses.replace(step.plan, learning_rate=0.1)`` is another one.
    """

    batch: DeviceBatch
    labels: Labels
    plan: StepPlan


class Experiment:
    """An experiment on a backend, with all that a training loop needs.

    :func:`isotune.open_experiment` and :func:`isotune.continue_experiment` open one, in a ``with``
    statement. Within it, the framework has its default settings, and the caller's afterwards.

    Attributes:
        spec: The resolved spec.
        backend: The open backend: ``state_adapter``, ``heads``, ``freezing`` and the other nouns.
        model: The native model, an ``nn.Module`` or ``nn.Cell``, which trains in place. While
            features are cached, only its head is up to date; after :meth:`close` all of it is.
        classes: Class names, in label order.
        path: The run folder.
        history: Metrics of the epochs that were saved.
        best: ``best.metrics`` are those of the best of them by ``checkpoint.monitor``, or None.
    """

    def __init__(self, prepared: PreparedExperiment, folder: RunFolder, stack: ExitStack) -> None:
        session, start = prepared.session, prepared.start
        self.spec: ExperimentSpec = session.spec
        self.backend: Backend = session.backend
        self.model: Any = prepared.model
        self.classes: tuple[str, ...] = session.classes
        self.path: Path = folder.path
        self.history: list[EpochMetrics] = list(start.progress.history)
        self.best = Best(session.spec.checkpoint.monitor, start.progress.best)
        self.first_step_seconds = math.nan  # the steps are the user's, and so are their times
        self.step_seconds: list[float] = []
        self._prepared, self._session, self._folder = prepared, session, folder
        self._stack = stack
        self._train = session.training_batches()
        self._learner = prepared.learner()
        self._writer = prepared.writer(folder, self._learner)
        self._frozen: FreezePlan | None = None
        self._begin = self._began = time.perf_counter()
        self._epoch = self._made = 0
        self._rate = math.nan
        self._val_seconds = 0.0
        self._waiting = Stopwatch()

    @property
    def epochs(self) -> range:
        """The epochs that are left, counted from 1."""
        return range(len(self.history) + 1, self.spec.epochs + 1)

    def trainer(self, epoch: int) -> Trainer:
        """Returns the trainer of an epoch, which trains what the spec does not freeze in it.

        Args:
            epoch: The epoch, counted from 1: the one after those of `history`.

        Raises:
            RunError: It is another one.
        """
        if epoch != len(self.history) + 1:
            raise RunError(
                f"epoch {epoch}: epoch {len(self.history) + 1} comes next; save() ends an epoch."
            )
        plan = self._prepared.freezing(epoch)
        if plan != self._frozen:
            self._learner.freeze(plan)
            self._frozen = plan
        self._epoch, self._made = epoch, 0
        self._began, self._waiting = time.perf_counter(), Stopwatch()
        self._val_seconds = 0.0
        return self._learner.strategy.trainer

    def steps(self, epoch: int) -> Iterator[Step]:
        """Yields what the steps of an epoch need, in order.

        Args:
            epoch: The epoch that :meth:`trainer` was asked for.

        Raises:
            RunError: It was asked for another one, or for none.
            DatasetError: An image cannot be read.
        """
        if epoch != self._epoch:
            raise RunError(f"epoch {epoch}: trainer({epoch}) comes before steps({epoch}).")
        labels = LabelBatches()
        batches = self._learner.strategy.training(epoch - 1, 0, self._waiting, labels)
        parts = epoch_micro_batches(self.spec, self._session.plan, self._train, epoch - 1)
        first = (epoch - 1) * len(self._train)
        for number, (batch, part) in enumerate(zip(batches, parts, strict=True)):
            plan = step_plan(self.spec, len(parts), first + number, part, self.history)
            yield Step(batch, labels.pop(0), plan)
            self._made, self._rate = number + 1, plan.learning_rate

    def evaluate(self) -> AnyEvaluation:
        """Evaluates the model on the validation images, or its averages if the spec asks for them.

        Raises:
            DatasetError: An image cannot be read.
        """
        begin = time.perf_counter()
        evaluation = self._learner.evaluate()
        self._val_seconds += time.perf_counter() - begin
        return evaluation

    def save(
        self, epoch: int, evaluation: AnyEvaluation | None = None, **values: float
    ) -> EpochMetrics:
        """Ends an epoch: writes its metrics and a checkpoint, which any backend continues.

        Args:
            epoch: The epoch, all of whose steps were made.
            evaluation: What :meth:`evaluate` returned after them.
            values: Other metrics by name, such as ``train_loss``.

        Returns:
            The epoch's metrics.

        Raises:
            RunError: Steps are missing, or the run folder cannot be written.
            TrainingError: A value of the model is not finite; nothing was saved.
        """
        if epoch != self._epoch or self._made < len(self._train):
            made = self._made if epoch == self._epoch else 0
            raise RunError(
                f"epoch {epoch}: {made} of {len(self._train)} steps are made; a checkpoint is of"
                " whole epochs."
            )
        metrics = self._metrics(evaluation, values)
        is_best = self.best.update(metrics)
        history = (*self.history, metrics)
        self._writer.save(Progress(history, self.best.metrics), metrics, is_best)
        self._writer.wait()
        self._folder.append_metrics(metrics)
        self.history.append(metrics)
        self._epoch = 0
        return metrics

    def close(self, error: BaseException | None = None) -> None:
        """Leaves the model whole, and gives up the run folder.

        Args:
            error: What ended the loop early, for the run's summary.
        """
        with self._stack:
            self._writer.close()
            self._learner.close()
            self._session.images.caches.close()
            if error is not None or not self.epochs:
                seconds = time.perf_counter() - self._begin
                layers = self._prepared.layers
                self._folder.write_summary(
                    final_summary(self._session, layers, self, seconds, error)
                )

    def __enter__(self) -> Experiment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(error)

    def _metrics(self, evaluation: AnyEvaluation | None, values: dict[str, float]) -> EpochMetrics:
        evaluated = {} if evaluation is None else evaluation.metrics
        thresholds = None if evaluation is None else evaluation.thresholds
        return EpochMetrics(
            epoch=self._epoch,
            steps=self._epoch * len(self._train),
            learning_rate=self._rate,
            values={
                **dict.fromkeys(EVERY_EPOCH, math.nan),
                **{name: float(value) for name, value in values.items()},
                **{f"val_{name}": value for name, value in evaluated.items()},
            },
            train_seconds=time.perf_counter() - self._began - self._val_seconds,
            val_seconds=self._val_seconds,
            data_seconds=self._waiting.seconds,
            step_ms=math.nan,
            thresholds=None if thresholds is None else tuple(thresholds.tolist()),
        )


def open_experiment(
    spec: SpecSource,
    *,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    output: str | Path | None = None,
    plugins: Plugins = default_plugins,
) -> Experiment:
    """Opens an experiment for a training loop of the user's own, in this process.

    Args:
        spec: As for :func:`isotune.run`; so are the other arguments.
        backend: See `spec`.
        device: See `spec`.
        overrides: See `spec`.
        output: See `spec`.
        plugins: See `spec`.

    Raises:
        IsotuneError: As :func:`isotune.run`.
    """
    name = backend or plugins.only_usable()
    session = Session.open(load_spec(spec, (*overrides, BEFORE)), name, device, plugins)
    _check_whole(session)
    with ExitStack() as stack:
        stack.enter_context(isolated(session.backend))
        prepared = PreparedExperiment.prepare(session, session.new_model(), ResumeState())
        path = None if output is None else Path(output)
        folder = RunFolder.create(session.spec, name, path)
        stack.callback(folder.release)
        return _opened(prepared, folder, stack)


def continue_experiment(
    path: str | Path,
    *,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    checkpoint: str = "last",
    plugins: Plugins = default_plugins,
) -> Experiment:
    """Opens the experiment of a run folder after a checkpoint, for a loop of the user's own.

    Args:
        path: As for :func:`isotune.resume`; so are the other arguments.
        backend: See `path`.
        device: See `path`.
        overrides: See `path`.
        checkpoint: See `path`.
        plugins: See `path`.

    Raises:
        RunError: The checkpoint is one within an epoch, or the run checks its images while it
            trains; only :func:`isotune.resume` continues such a run.
        IsotuneError: As :func:`isotune.resume`.
    """
    with ExitStack() as stack:
        folder = claimed(path)
        stack.callback(folder.release)
        session, saved, prepare = open_saved(
            Joined(Group(), backend), folder, device, tuple(overrides), checkpoint, plugins
        )
        _check_whole(session)
        if session.images.check is not None:
            raise RunError(
                f"{path}: its images are checked during training, so that only isotune.resume()"
                " continues it."
            )
        if saved.checkpoint is not None and saved.checkpoint.manifest.epoch_so_far is not None:
            raise RunError(
                f"{path}: its checkpoint is within an epoch, which isotune.resume() continues."
            )
        stack.enter_context(isolated(session.backend))
        return _opened(prepare(), folder, stack)


def _check_whole(session: Session) -> None:
    if session.spec.shards > 1:
        raise SpecError(
            f"shards: is {session.spec.shards}, but a loop by hand takes whole batches; leave it"
            " out."
        )


def _opened(prepared: PreparedExperiment, folder: RunFolder, stack: ExitStack) -> Experiment:
    """Returns the experiment, which closes what the stack holds."""
    session = prepared.session
    folder.write_summary(initial_summary(session))
    write_images(folder.path, listed_images(session))
    return Experiment(prepared, folder, stack.pop_all())

"""Trains one trial of a sweep: a run like any other, which may be ended early."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from isotune.errors import SpecError, StoppedError, TrainingError
from isotune.experiment.parts import check_part, taken_over
from isotune.experiment.resume import resume
from isotune.experiment.run import run
from isotune.experiment.sweeps.study import Claimed, Study
from isotune.interfaces.events import EpochEnded, RunStarted, StopRequest
from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.sweep import Trial, TrialState
from isotune.plugins import Plugins
from isotune.runs.checkpoint import read_manifest
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.runs.leftovers import SPEC
from isotune.spec.experiment import ExperimentSpec
from isotune.storage.memory import describe_shortage
from isotune.training.progress import Best, Patience

ENDED_EARLY = "the sweep's pruner"
"""What a pruned run says that stopped it."""


@dataclass
class _Pruning:
    """An observer that reports the value of each epoch, and stops a run that promises little."""

    study: Study
    claimed: Claimed
    spec: ExperimentSpec
    stop: StopRequest | None = None
    features: str | None = None

    def isotune_run_started(self, event: RunStarted) -> None:
        self.stop, self.features = event.stop, event.features

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        if not self.goes_on(event.metrics) and event.metrics.epoch < self.spec.epochs:
            event.stop.request(ENDED_EARLY)

    def goes_on(self, metrics: EpochMetrics) -> bool:
        """Reports an epoch; returns whether the run is worth going on."""
        value = metrics.value(self.spec.checkpoint.monitor)
        if not math.isfinite(value):
            return True
        with self.study.errors():
            return self.claimed.goes_on(metrics.epoch, value)


@dataclass
class TrialRun:
    """The run of a trial, begun or gone on with.

    Attributes:
        study: The sweep's study.
        claimed: The trial, claimed by this process.
        observers: Notified of the run.
        plugins: Where backends, backbones and observers are found.
    """

    study: Study
    claimed: Claimed
    observers: Sequence[object]
    plugins: Plugins
    _spec: ExperimentSpec = field(init=False)
    _pruning: _Pruning = field(init=False)

    def __post_init__(self) -> None:
        job = self.study.job
        self._path = job.folder.trial(self.claimed.number)
        self._spec = job.space.spec(job.draft, self.claimed.picked)
        self._pruning = _Pruning(self.study, self.claimed, self._spec)

    @property
    def features(self) -> str | None:
        """How the run caches features, once it has started; None where it does not."""
        return self._pruning.features

    def outcome(self) -> Trial:
        """Trains the trial to its end; returns what came of it.

        Raises:
            StoppedError: The process was asked to stop; the run is saved.
            IsotuneError: As :func:`isotune.run`, except that training that fails is an outcome.
        """
        begin = time.perf_counter()
        reason: str | None = None
        try:
            state = self._trained()
        except StoppedError:
            stop = self._pruning.stop
            if stop is None or stop.reason != ENDED_EARLY:
                raise
            state = "pruned"
        except TrainingError as error:
            state, reason = "failed", str(error)
        except SpecError as error:
            setting = ", ".join(f"{name} = {value}" for name, value in self.claimed.picked.items())
            where = f"It is trial {self.claimed.number} of the sweep, with {setting}."
            raise SpecError(*error.args, where) from error
        except Exception as error:
            if (shortage := describe_shortage(error)) is None:
                raise
            state, reason = "failed", f"{shortage}."
        return self._outcome(state, reason, time.perf_counter() - begin)

    def _trained(self) -> TrialState:
        """Begins the run, or goes on with it; returns how it ended."""
        job = self.study.job
        observers = [self._pruning, *self.observers]
        backend, device = job.description.backend, job.device
        if not os.path.lexists(self._path / SPEC):
            run(
                self._spec,
                backend=backend,
                device=device,
                output=self._path,
                observers=observers,
                plugins=self.plugins,
                progress=False,
            )
            return "complete"
        check_part(self._path, self._spec, backend, self.plugins, "sweep")
        if RunFolder(self._path).summary().state == "finished":
            return "complete"
        if self._was_pruned():
            return "pruned"
        resume(
            self._path,
            backend=backend,
            device=device,
            overrides=taken_over(self._spec),
            observers=observers,
            plugins=self.plugins,
            progress=False,
        )
        return "complete"

    def _was_pruned(self) -> bool:
        """Whether the pruner decides against the run by the epochs that are saved.

        A process may have been killed between the end of an epoch and the decision.
        """
        if self.claimed.pruned:
            return True
        history = self._saved()
        patience = Patience(self._spec.early_stopping)
        if len(history) >= self._spec.epochs or any(patience.exhausted(m) for m in history):
            return False
        new = [metrics for metrics in history if metrics.epoch not in self.claimed.reported]
        last = [metrics for metrics in history if metrics.epoch in self.claimed.reported][-1:]
        return not all(self._pruning.goes_on(metrics) for metrics in (*last, *new))

    def _saved(self) -> list[EpochMetrics]:
        folder = RunFolder(self._path)
        name = CheckpointStore(folder.checkpoints).index().last
        if name is None:
            return []
        return [line.metrics() for line in read_manifest(folder.checkpoints / name).history]

    def _outcome(self, state: TrialState, reason: str | None, seconds: float) -> Trial:
        monitor = self._spec.checkpoint.monitor
        history = RunFolder(self._path).history()
        best = Best(monitor)
        for metrics in history:
            best.update(metrics)
        chosen = best.metrics if state == "complete" else None
        return Trial(
            number=self.claimed.number,
            state=state,
            parameters=self.claimed.picked,
            value=chosen.value(monitor) if chosen else None,
            epoch=chosen.epoch if chosen else None,
            epochs=len(history),
            seconds=seconds,
            reason=reason,
        )

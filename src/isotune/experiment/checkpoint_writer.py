"""Writes the checkpoints of a run while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from isotune.interfaces.checkpoint import State
from isotune.interfaces.metrics import EpochMetrics
from isotune.runs.checkpoint import AVERAGE, MODEL, Checkpoint, packed, unpacked
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.runs.schema import EpochSoFar, LineageEntry, Manifest, MetricsLine
from isotune.spec.load import dump_spec
from isotune.training.finite import check_state
from isotune.training.learner import Learner
from isotune.training.progress import Progress
from isotune.training.session import Session
from isotune.weights.match import match_exact
from isotune.weights.save import save_weights


@dataclass(frozen=True)
class CheckpointWriter:
    """Writes checkpoints and the best weights of a run.

    Attributes:
        session: The experiment.
        folder: The run's folder.
        learner: The model in training.
        lineage: Who trained, this process last.
    """

    session: Session
    folder: RunFolder
    learner: Learner
    lineage: tuple[LineageEntry, ...]

    def save(self, progress: Progress, metrics: EpochMetrics, is_best: bool) -> None:
        """Writes a checkpoint and, for the best epoch so far, the file of the best weights.

        Args:
            progress: How far the run has come.
            metrics: Metrics of the epoch, or of what there is of it.
            is_best: Whether the epoch has just ended as the best so far.

        Raises:
            TrainingError: A value is not finite; nothing is written.
            RunError: the checkpoint cannot be written, or the run folder was removed.
            WeightsError: the file of the best weights cannot be written.
        """
        if not self.session.group.place.leads:
            return
        self.folder.check_there()
        spec = self.session.spec.checkpoint
        model, averages = self.learner.model_state(), self.session.plan.averages
        checkpoint = Checkpoint(
            model=model,
            optimizer=self.learner.optimizer_state(),
            manifest=self._manifest(progress, metrics),
            average={**model, **self.learner.averages()} if averages else None,
        )
        for state in (checkpoint.model, checkpoint.optimizer, checkpoint.weights):
            check_state(state, metrics.epoch)
        self._store.save(checkpoint, keep=spec.keep, best=is_best)
        if is_best:
            write_best(self.folder, self.session, checkpoint.weights)

    def restore_best(self, model: Any) -> None:
        """Gives the model the best epoch's weights, in every process.

        Raises:
            RunError: the checkpoint is damaged.
            WeightsError: its tensors are not those of the model.
        """
        group, adapter = self.session.group, self.session.backend.state_adapter
        best: State | None = None
        if group.place.leads:
            best = best_checkpoint(self.folder, self.session, model).weights
        if not group.place.alone:
            data = group.share(None if best is None else packed(best))
            best = unpacked(data, self.folder.checkpoints)
        assert best is not None, "process 0 has read it"
        adapter.import_model(model, best)

    @property
    def _store(self) -> CheckpointStore:
        return CheckpointStore(self.folder.checkpoints)

    def _manifest(self, progress: Progress, metrics: EpochMetrics) -> Manifest:
        session, accumulator = self.session, progress.accumulator
        weights, seed = session.plan.class_weights, session.spec.seed
        return Manifest(
            spec=dump_spec(session.spec),
            backend=session.backend.name,
            lineage=list(self.lineage),
            classes=list(session.classes),
            class_weights=None if weights is None else weights.tolist(),
            images=len(session.images.train),
            epoch=metrics.epoch,
            step=metrics.steps,
            step_in_epoch=None if accumulator is None else accumulator.steps,
            random={"seed": seed, "epoch": metrics.epoch - 1, "step": metrics.steps},
            metrics=MetricsLine.of(metrics),
            epoch_so_far=None if accumulator is None else EpochSoFar(**accumulator.as_json()),
            history=[MetricsLine.of(each) for each in progress.history],
            best=None if progress.best is None else progress.best.epoch,
            weights="average" if session.plan.averages else "model",
        )


def best_checkpoint(folder: RunFolder, session: Session, model: Any) -> Checkpoint:
    """Returns a run's best checkpoint.

    Args:
        folder: The run's folder.
        session: The experiment.
        model: The native model, whose names and shapes the checkpoint's tensors have.

    Raises:
        RunError: the checkpoint is damaged, or there is none.
        WeightsError: its tensors are not those of the model.
    """
    best = CheckpointStore(folder.checkpoints).load("best")
    return matched(best, session.backend.state_adapter.model_shapes(model), folder)


def matched(
    checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]], folder: RunFolder
) -> Checkpoint:
    """Returns a checkpoint whose model and averages have the names and shapes of a model.

    Raises:
        WeightsError: They have others.
    """
    where = folder.checkpoints / checkpoint.manifest.name
    average = checkpoint.average
    return replace(
        checkpoint,
        model=match_exact(shapes, checkpoint.model, str(where / MODEL)),
        average=None if average is None else match_exact(shapes, average, str(where / AVERAGE)),
    )


def write_best(folder: RunFolder, session: Session, weights: State) -> None:
    """Writes the file of the best weights, if the spec names one.

    Args:
        folder: The run's folder.
        session: The experiment.
        weights: The best model's tensors, or their averages.

    Raises:
        WeightsError: the file cannot be written.
    """
    name = session.spec.checkpoint.save_best_as
    if name:
        save_weights(folder.path / name, weights, session.entry.name)

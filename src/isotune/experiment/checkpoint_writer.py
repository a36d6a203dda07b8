"""Writes the checkpoints of a run while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isotune.interfaces.metrics import EpochMetrics
from isotune.runs.checkpoint import Checkpoint
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.spec.load import dump_spec
from isotune.training.finite import check_state
from isotune.training.learner import Learner
from isotune.training.progress import Progress
from isotune.training.session import Session
from isotune.weights.save import save_weights

LineageEntry = dict[str, Any]
"""``{"step": 0, "backend": "torch", "device": "cpu"}``: who trained from that step on."""


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
            RunError: the checkpoint cannot be written.
            WeightsError: the file of the best weights cannot be written.
        """
        spec = self.session.spec.checkpoint
        checkpoint = Checkpoint(
            model=self.learner.model_state(),
            optimizer=self.learner.optimizer_state(),
            manifest=self._manifest(progress, metrics),
        )
        check_state({**checkpoint.model, **checkpoint.optimizer}, metrics.epoch)
        name = checkpoint_name(checkpoint.manifest)
        self._store.save(name, checkpoint, keep=spec.keep, best=is_best)
        if is_best and spec.save_best_as:
            save_weights(
                self.folder.path / spec.save_best_as, checkpoint.model, self.session.entry.name
            )

    def restore_best(self, model: Any) -> None:
        """Gives the model the best epoch's weights."""
        adapter = self.session.backend.state_adapter
        adapter.import_model(model, self._store.load("best").model)

    @property
    def _store(self) -> CheckpointStore:
        return CheckpointStore(self.folder.checkpoints)

    def _manifest(self, progress: Progress, metrics: EpochMetrics) -> dict[str, Any]:
        session, accumulator = self.session, progress.accumulator
        weights, seed = session.plan.class_weights, session.spec.seed
        return {
            "spec": dump_spec(session.spec),
            "backend": session.backend.name,
            "lineage": list(self.lineage),
            "classes": list(session.classes),
            "class_weights": None if weights is None else weights.tolist(),
            "images": len(session.images.train),
            "epoch": metrics.epoch,
            "step": metrics.steps,
            "step_in_epoch": None if accumulator is None else accumulator.steps,
            "random": {"seed": seed, "epoch": metrics.epoch - 1, "step": metrics.steps},
            "metrics": metrics.as_json(),
            "epoch_so_far": None if accumulator is None else accumulator.as_json(),
            "history": [each.as_json() for each in progress.history],
            "best": None if progress.best is None else progress.best.epoch,
        }


def checkpoint_name(manifest: dict[str, Any]) -> str:
    """Returns the name of a checkpoint's folder: ``epoch-0003`` or ``step-00001560``."""
    if manifest["epoch_so_far"] is None:
        return f"epoch-{manifest['epoch']:04d}"
    return f"step-{manifest['step']:08d}"

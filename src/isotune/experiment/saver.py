"""Writes down what a run comes to while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isotune.interfaces.backend import Backend
from isotune.interfaces.trainer import TrainingPlan
from isotune.runs.checkpoint import Checkpoint
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec
from isotune.training.learner import Learner
from isotune.training.save_points import Snapshot
from isotune.weights.formats.write import write_weights

LineageEntry = dict[str, Any]
"""``{"step": 0, "backend": "torch", "device": "cpu"}``: who trained from that step on."""


@dataclass(frozen=True)
class Saver:
    """Saves metrics, checkpoints and the best weights of a run.

    Attributes:
        images: how many there are to train on.
        lineage: who trained, this process last.
    """

    folder: RunFolder
    spec: ExperimentSpec
    plan: TrainingPlan
    classes: tuple[str, ...]
    images: int
    backend: Backend
    learner: Learner
    lineage: tuple[LineageEntry, ...]

    def save(self, snapshot: Snapshot) -> None:
        """Saves a checkpoint, and of the best epoch so far its weights, if the spec says so.

        Raises:
            RunError: a checkpoint cannot be written.
            WeightsError: the file of the best weights cannot.
        """
        checkpoint = Checkpoint(
            model=self.learner.model_state(),
            optimizer=self.learner.optimizer_state(),
            manifest=self._manifest(snapshot),
        )
        keep = self.spec.checkpoint.keep
        name = checkpoint_name(checkpoint.manifest)
        self._store.save(name, checkpoint, keep=keep, best=snapshot.is_best)
        if snapshot.is_best and self.spec.checkpoint.save_best_as:
            path = self.folder.path / self.spec.checkpoint.save_best_as
            write_weights(path, checkpoint.model)

    def restore_best(self, model: Any) -> None:
        """Gives the model the best epoch's weights."""
        self.backend.checkpoints.import_model(model, self._store.load("best").model)

    @property
    def _store(self) -> CheckpointStore:
        return CheckpointStore(self.folder.checkpoints)

    def _manifest(self, snapshot: Snapshot) -> dict[str, Any]:
        metrics, accumulator = snapshot.metrics, snapshot.accumulator
        weights = self.plan.class_weights
        return {
            "spec": dump_spec(self.spec),
            "backend": self.backend.name,
            "lineage": list(self.lineage),
            "classes": list(self.classes),
            "class_weights": None if weights is None else weights.tolist(),
            "images": self.images,
            "epoch": metrics.epoch,
            "step": metrics.steps,
            "step_in_epoch": None if accumulator is None else accumulator.steps,
            "random": {"seed": self.spec.seed, "epoch": metrics.epoch - 1, "step": metrics.steps},
            "metrics": metrics.as_json(),
            "epoch_so_far": None if accumulator is None else accumulator.as_json(),
            "history": [each.as_json() for each in snapshot.history],
            "best": None if snapshot.best is None else snapshot.best.epoch,
        }


def checkpoint_name(manifest: dict[str, Any]) -> str:
    """Returns the name of a checkpoint's folder: ``epoch-0003`` or ``step-00001560``."""
    if manifest["epoch_so_far"] is None:
        return f"epoch-{manifest['epoch']:04d}"
    return f"step-{manifest['step']:08d}"

"""Writes down what a run comes to while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isotune.interfaces.backend import Backend
from isotune.interfaces.trainer import TrainingPlan
from isotune.runs.checkpoints import Checkpoint, CheckpointStore
from isotune.runs.events import EpochMetrics
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.loading import dump_spec
from isotune.training.learner import Learner
from isotune.weights.writing import write_weights


@dataclass(frozen=True)
class Saver:
    """Saves metrics, checkpoints and the best weights of a run."""

    folder: RunFolder
    spec: ExperimentSpec
    plan: TrainingPlan
    classes: tuple[str, ...]
    backend: Backend
    learner: Learner

    def epoch(self, metrics: EpochMetrics, best: bool) -> None:
        """Saves an epoch that has ended.

        Raises:
            RunError: a checkpoint cannot be written.
            WeightsError: the file of the best weights cannot.
        """
        self.folder.append_metrics(metrics)
        checkpoint = self._checkpoint(metrics)
        self._store.save(f"epoch-{metrics.epoch:04d}", checkpoint, best=best)
        if best and self.spec.checkpoint.save_best_as:
            path = self.folder.path / self.spec.checkpoint.save_best_as
            write_weights(path, checkpoint.model)

    def step(self, metrics: EpochMetrics) -> None:
        """Saves a checkpoint within an epoch.

        Raises:
            RunError: it cannot be written.
        """
        name, keep = f"step-{metrics.steps:08d}", self.spec.checkpoint.keep
        self._store.save_step(name, self._checkpoint(metrics), keep=keep)

    def restore_best(self, model: Any) -> None:
        """Gives the model the best epoch's weights."""
        self.backend.checkpoints.import_model(model, self._store.load("best").model)

    @property
    def _store(self) -> CheckpointStore:
        return CheckpointStore(self.folder.checkpoints)

    def _checkpoint(self, metrics: EpochMetrics) -> Checkpoint:
        weights = self.plan.class_weights
        return Checkpoint(
            model=self.learner.model_state(),
            optimizer=self.learner.optimizer_state(),
            manifest={
                "spec": dump_spec(self.spec),
                "backend": self.backend.name,
                "classes": list(self.classes),
                "class_weights": None if weights is None else weights.tolist(),
                "epoch": metrics.epoch,
                "step": metrics.steps,
                "metrics": metrics.as_json(),
            },
        )

"""A run as a user holds it: its figures, its model, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from isotune.data.checking import clean
from isotune.data.files import FileSource
from isotune.data.folder import FolderSource
from isotune.data.pictures import dataset_folder, evaluation_batches
from isotune.interfaces.backend import Backend
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.runs.events import EpochMetrics
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.resolving import normalization
from isotune.training.evaluation import Evaluation, evaluate, predict_logits
from isotune.training.loss import softmax

Prediction = list[tuple[str, float]]
"""Classes and their probabilities, the likeliest first."""


@dataclass(frozen=True)
class Run:
    """A finished (or reopened) run.

    Attributes:
        classes: class names, in label order.
        plan: how it was trained.
        model: the native model, an ``nn.Module`` or ``nn.Cell``, with the best weights.
        history: the metrics of every epoch.
        best: the metrics of the best one.
    """

    folder: RunFolder
    spec: ExperimentSpec
    classes: tuple[str, ...]
    plan: TrainingPlan
    backend: Backend
    model: Any
    history: tuple[EpochMetrics, ...]
    best: EpochMetrics

    @property
    def path(self) -> Path:
        """The run folder's path."""
        return self.folder.path

    @cached_property
    def _trainer(self) -> Trainer:
        # One for all calls: a backend may have to compile its evaluation step.
        return self.backend.trainer(self.model, self.plan)

    def evaluate(self, split: str | None = None, data: str | Path | None = None) -> Evaluation:
        """Evaluates the model on labelled pictures.

        Args:
            split: name of the split (its folder); None takes the validation split.
            data: another dataset's folder, with the same classes.

        Raises:
            DatasetError: the pictures are missing, broken or of other classes.
        """
        root = Path(data) if data else dataset_folder(self.spec.dataset)
        found = FolderSource(root, split or self.spec.dataset.splits.val, self.classes)
        source, _ = clean(found, self.spec.dataset.broken, self.spec.workers)
        batches = evaluation_batches(source, self.spec).epoch(0)
        return evaluate(self.backend, self._trainer, batches, normalization(self.spec), self.plan)

    def predict(self, picture: str | Path, top: int | None = None) -> Prediction:
        """Predicts the class of a picture.

        Args:
            picture: its path.
            top: how many classes to name; None names all.

        Returns:
            Classes with their probabilities, the likeliest first.

        Raises:
            DatasetError: the picture cannot be read.
        """
        return self.predict_many([picture], top)[0]

    def predict_many(
        self, pictures: Sequence[str | Path], top: int | None = None
    ) -> list[Prediction]:
        """Predicts the classes of several pictures, in batches; as :meth:`predict` for each."""
        if not pictures:
            return []
        batches = evaluation_batches(FileSource(pictures, self.classes), self.spec).epoch(0)
        logits = predict_logits(self.backend, self._trainer, batches, normalization(self.spec))
        return [self._ranked(row, top) for row in softmax(logits)]

    def _ranked(self, probabilities: np.ndarray[Any, Any], top: int | None) -> Prediction:
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.classes[index], float(probabilities[index])) for index in order]

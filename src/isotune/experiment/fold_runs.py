"""Runs of the folds of a cross-validation, and what their models predict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from isotune.data.folds import open_fold
from isotune.data.images import open_labeled
from isotune.data.location import dataset_folder
from isotune.errors import RunError, StoppedError
from isotune.experiment.changes import differences
from isotune.experiment.listed_images import listed_split
from isotune.experiment.open import open_run
from isotune.experiment.parts import MAY_CHANGE, check_part, taken_over
from isotune.experiment.result import Run
from isotune.experiment.resume import resume
from isotune.experiment.run import run
from isotune.interfaces.dataset import DatasetFormat, Labels
from isotune.interfaces.events import RunStarted, StopRequest
from isotune.plugins import Plugins
from isotune.reports.folds import metrics_json, write_metrics_csv, write_predictions_csv
from isotune.runs.cross_validation import (
    METRICS_CSV,
    METRICS_JSON,
    PREDICTIONS_CSV,
    CrossValidationFile,
    CrossValidationFolder,
)
from isotune.runs.folder import RunFolder
from isotune.runs.images import FILE as IMAGES
from isotune.runs.images import check_same_images
from isotune.runs.leftovers import SPEC
from isotune.runs.out_of_fold import (
    FoldPredictions,
    OutOfFold,
    predictions_path,
    write_predictions,
)
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import load_spec


class _StopWatcher:
    """An observer that keeps whether a run was asked to stop."""

    stop: StopRequest | None = None

    def isotune_run_started(self, event: RunStarted) -> None:
        self.stop = event.stop


@dataclass(frozen=True)
class FoldRuns:
    """Trains the folds of a cross-validation that have not ended.

    Attributes:
        folder: The cross-validation's folder.
        description: What it should be.
        spec: The spec of the folds, without a fold.
        device: As for :func:`isotune.run`.
        observers: Notified of every run.
        plugins: Where backends, backbones and observers are found.
    """

    folder: CrossValidationFolder
    description: CrossValidationFile
    spec: ExperimentSpec
    device: str
    observers: Sequence[object]
    plugins: Plugins
    _watcher: _StopWatcher = field(default_factory=_StopWatcher)

    @property
    def numbers(self) -> range:
        """Numbers of the folds."""
        return range(1, self.description.folds + 1)

    def run(self) -> OutOfFold:
        """Trains what is left, and writes the metrics and predictions of all folds.

        Raises:
            IsotuneError: As :func:`isotune.cross_validate`.
        """
        with self.folder.claimed():
            if self._has_begun():
                self._check_same(self.folder.description())
                self._check_images()
            try:
                self.folder.describe(self.description)
                for number in self.numbers:
                    if not self._has_ended(number):
                        trained = self._trained(number)
                        self._check_stop(number)
                        self._predict(number, trained)
                predictions = self.folder.predictions()
                self._write(predictions)
            finally:
                if not self._has_begun():  # as a run that cannot start leaves no folder
                    self.folder.remove()
        return predictions

    def _has_begun(self) -> bool:
        return any(os.path.lexists(self.folder.fold(number)) for number in self.numbers)

    def _check_same(self, before: CrossValidationFile) -> None:
        for name in ("folds", "by", "seed"):
            old, new = getattr(before, name), getattr(self.description, name)
            if old != new:
                raise RunError(
                    f"{self.folder.path}: is a cross-validation whose {name} is {old!r}, not"
                    f" {new!r}; name another folder."
                )
        for name, old, new in differences(load_spec(before.spec), self.spec, MAY_CHANGE):
            raise RunError(
                f"{self.folder.path}: is a cross-validation of another spec: {name} is {old!r}, not"
                f" {new!r}; name another folder. What may change: {', '.join(MAY_CHANGE)}."
            )

    def _check_images(self) -> None:
        """Refuses images that are not those of the folds so far: folds would not fit together."""
        for number in self.numbers:
            path, dataset = self.folder.fold(number), self._spec(number).dataset
            if not os.path.lexists(path / IMAGES):
                continue
            assert isinstance(dataset, DatasetFormat), "every format derives from it"
            fold, folder = self.description.fold(number), dataset_folder(dataset)
            images = open_fold(dataset, fold, folder, workers=self.spec.workers)
            train = listed_split("train", images.train, dataset)
            check_same_images(path, chain(train, listed_split("val", images.val, dataset)))
            return  # all folds have the same images

    def _spec(self, number: int) -> ExperimentSpec:
        dataset = self.spec.dataset.model_copy(update={"fold": self.description.fold(number)})
        name = f"{self.spec.name}-fold-{number}"
        return self.spec.model_copy(update={"dataset": dataset, "name": name})

    def _has_ended(self, number: int) -> bool:
        path = self.folder.fold(number)
        ended = os.path.lexists(path / SPEC) and RunFolder(path).summary().state == "finished"
        if ended:
            self._check_run(number)
        return ended and predictions_path(self.folder.path, number).exists()

    def _check_run(self, number: int) -> None:
        """Refuses a fold that was continued as another experiment."""
        path, backend = self.folder.fold(number), self.description.backend
        check_part(path, self._spec(number), backend, self.plugins, "cross-validation")

    def _trained(self, number: int) -> Run:
        path, backend = self.folder.fold(number), self.description.backend
        if not os.path.lexists(path / SPEC):
            return run(
                self._spec(number),
                backend=backend,
                device=self.device,
                output=path,
                observers=[self._watcher, *self.observers],
                plugins=self.plugins,
                progress=False,
            )
        if RunFolder(path).summary().state == "finished":
            return open_run(path, device=self.device, plugins=self.plugins)
        self._check_run(number)
        return resume(
            path,
            backend=backend,
            device=self.device,
            overrides=taken_over(self.spec),
            observers=[self._watcher, *self.observers],
            plugins=self.plugins,
            progress=False,
        )

    def _check_stop(self, number: int) -> None:
        """Ends the cross-validation if a run was asked to stop, but had only its end left."""
        if (stop := self._watcher.stop) is not None and stop.requested:
            raise StoppedError(
                f"stopped by {stop.reason} after training fold {number} of"
                f" {self.description.folds}; everything is saved."
            )

    def _predict(self, number: int, trained: Run) -> None:
        # The dataset may have moved since the run ended.
        dataset = trained.spec.dataset.model_copy(update={"path": self.spec.dataset.path})
        spec = trained.spec.model_copy(update={"dataset": dataset})
        source = open_labeled(spec, trained.classes)
        assert source.origin is not None, "the run's spec names a fold"
        evaluation = trained.evaluate_source(source)
        listed = list(listed_split("val", source, dataset))
        predictions = FoldPredictions(
            classes=trained.classes,
            positions=source.origin.indices,
            names=[image.name for image in listed],
            digests=[image.digest for image in listed],
            labels=source.labels,
            predicted=_as_labels(evaluation.predicted),
            probabilities=evaluation.probabilities,
            metrics=evaluation.metrics,
        )
        write_predictions(self.folder.path, number, predictions)

    def _write(self, predictions: OutOfFold) -> None:
        self.folder.write(METRICS_JSON, metrics_json(predictions))
        with self.folder.opened(METRICS_CSV) as file:
            write_metrics_csv(file, predictions)
        with self.folder.opened(PREDICTIONS_CSV) as file:
            write_predictions_csv(file, predictions)


def _as_labels(predicted: NDArray[np.bool_] | NDArray[np.int64]) -> Labels:
    return predicted.astype(np.float32) if predicted.ndim == 2 else predicted.astype(np.int32)

"""Compares runs: the content of their folders, and the differences between their curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isotune.errors import RunError
from isotune.interfaces.metrics import EpochMetrics
from isotune.reports.describe import described_freeze, described_head, described_mixing
from isotune.runs.checkpoint import read_manifest
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.runs.schema import Manifest


@dataclass(frozen=True)
class RunFigures:
    """The figures in a run folder; None for those that it does not have.

    Attributes:
        path: The run folder.
        state: ``finished``; ``stopped`` (by an error or by hand); ``unfinished`` (in progress,
            or killed).
        stopped_by: The error that stopped it.
        backend: Name of the backend.
        device: The device it ran on.
        backbone: Name and weights of the backbone.
        head: Name of the head, with the widths of hidden layers.
        freeze: What does not train, and from which epoch on it does.
        mixing: How training images are mixed, and then training accuracy is the share of images for
            which the class with the largest share is predicted; None if they are not.
        parameters: Number of parameters of the model.
        trainable: Number of them that train in the first epoch.
        versions: Versions of packages, by name.
        history: Metrics of every epoch.
        best: Metrics of the best epoch.
        first_step: Seconds of the first training step, compilation included.
        step_ms: Median milliseconds of all later steps.
        seconds: Wall time of training and validation.
        val_images: Number of validation images.
    """

    path: Path
    state: str
    stopped_by: str | None
    backend: str | None
    device: str | None
    backbone: str
    head: str
    freeze: str
    mixing: str | None
    parameters: int | None
    trainable: int | None
    versions: dict[str, str]
    history: tuple[EpochMetrics, ...]
    best: EpochMetrics | None
    first_step: float | None
    step_ms: float | None
    seconds: float | None
    val_images: int | None

    @property
    def final(self) -> EpochMetrics | None:
        """The metrics of the last epoch."""
        return self.history[-1] if self.history else None


@dataclass(frozen=True)
class Difference:
    """The largest differences between a run and the first one, over the epochs that both have.

    Attributes:
        epochs: Number of epochs that both have; if it is 0, all others are None.
        train_loss: Largest ``|a - b| / max(|a|, |b|)`` of an epoch's training losses.
        train_loss_epoch: The epoch of that difference.
        val_accuracy: Largest ``|a - b|`` of validation accuracies, in [0, 1]; None if there is
            no epoch after which both were evaluated.
        val_accuracy_epoch: The epoch of that difference.
        val_images: The same as a number of images, if both runs had equally many.
    """

    epochs: int
    train_loss: float | None = None
    train_loss_epoch: int | None = None
    val_accuracy: float | None = None
    val_accuracy_epoch: int | None = None
    val_images: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Some runs, and the difference of each run after the first from the first."""

    runs: tuple[RunFigures, ...]
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns plain data, with null for figures that a run does not have."""
        return {
            "runs": [_plain_run(run) for run in self.runs],
            "differences": [
                {"from": str(self.runs[0].path), "to": str(run.path), **vars(difference)}
                for run, difference in zip(self.runs[1:], self.differences, strict=True)
            ],
        }


def compare_runs(paths: Sequence[str | Path]) -> Comparison:
    """Reads some run folders, finished or not, without opening a backend.

    Raises:
        RunError: a path is not a run's folder, or a file in it is damaged.
    """
    runs = tuple(read_figures(path) for path in paths)
    return Comparison(runs, tuple(difference(runs[0], run) for run in runs[1:]))


def read_figures(path: str | Path) -> RunFigures:
    """Reads the figures in a run folder.

    Raises:
        RunError: it is not a run's folder, or a file in it is damaged.
    """
    folder = RunFolder.existing(path)
    summary = folder.summary()
    manifest = None if summary.timings.total is not None else _best_manifest(folder)
    best = summary.best or (manifest.metrics if manifest else None)
    spec = folder.spec()
    return RunFigures(
        path=folder.path,
        state=summary.state,
        stopped_by=summary.stopped_by,
        backend=summary.backend or (manifest.backend if manifest else None),
        device=summary.device,
        backbone=f"{spec.backbone.name}, {spec.backbone.weights}",
        head=described_head(spec.head),
        freeze=described_freeze(spec.freeze),
        mixing=None if spec.mixing is None else described_mixing(spec.mixing),
        parameters=summary.parameters.all,
        trainable=summary.parameters.trainable,
        versions=summary.versions,
        history=tuple(folder.history()),
        best=best.metrics() if best else None,
        first_step=summary.timings.first_step,
        step_ms=summary.timings.step_ms,
        seconds=summary.timings.total,
        val_images=summary.images.val,
    )


def difference(first: RunFigures, other: RunFigures) -> Difference:
    """Compares the curves of two runs, epoch by epoch."""
    pairs = list(zip(first.history, other.history, strict=False))
    if not pairs:
        return Difference(epochs=0)
    losses = [(_relative(a.train_loss, b.train_loss), a.epoch) for a, b in pairs]
    loss, loss_epoch = _largest(losses)
    accuracies = [(abs(a.val_accuracy - b.val_accuracy), a.epoch) for a, b in pairs]
    accuracy, accuracy_epoch = _largest(accuracies)
    same = first.val_images is not None and first.val_images == other.val_images
    counted = same and accuracy is not None
    return Difference(
        epochs=len(pairs),
        train_loss=loss,
        train_loss_epoch=loss_epoch,
        val_accuracy=accuracy,
        val_accuracy_epoch=accuracy_epoch,
        val_images=round((accuracy or 0) * (first.val_images or 0)) if counted else None,
    )


def _largest(values: Sequence[tuple[float, int]]) -> tuple[float | None, int | None]:
    """Returns the first of the largest values that are not NaN, with its epoch."""
    known = [each for each in values if not math.isnan(each[0])]
    return max(known, key=lambda each: each[0], default=(None, None))


def _relative(a: float, b: float) -> float:
    largest = max(abs(a), abs(b))
    return abs(a - b) / largest if largest else 0.0


def _best_manifest(folder: RunFolder) -> Manifest | None:
    # A run in progress has no summary yet, but its checkpoints hold the backend and the best.
    name = CheckpointStore(folder.checkpoints).index().best
    try:
        return None if name is None else read_manifest(folder.checkpoints / name)
    except RunError:  # it may just have been replaced by a better one
        return None


def _plain_run(run: RunFigures) -> dict[str, Any]:
    return {
        **vars(run),
        "path": str(run.path),
        "best": run.best.as_json() if run.best else None,
        "history": [metrics.as_json() for metrics in run.history],
    }

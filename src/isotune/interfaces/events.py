"""The events that observers of a run receive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.summary import ModelSummary
from isotune.spec.experiment import ExperimentSpec


@dataclass
class StopRequest:
    """A request to stop a run at its next update, saved and resumable.

    Attributes:
        reason: Who or what asks: the name of a signal, or an observer's words; None while
            nobody does.
        fault: Whether the reason is a fault of the dataset, as which the run then ends.
    """

    reason: str | None = None
    fault: bool = False

    @property
    def requested(self) -> bool:
        """Whether the run is to stop."""
        return self.reason is not None

    def request(self, reason: str, *, fault: bool = False) -> None:
        """Asks the run to stop; the first reason stands."""
        if self.reason is None:
            self.reason, self.fault = reason, fault


@dataclass(frozen=True)
class RunStarted:
    """Everything is ready for the first step.

    Attributes:
        folder: The run folder.
        spec: The resolved spec.
        backend: Name of the backend.
        device: The device in use.
        classes: Class names, in label order.
        counts: Number of images of each class, in label order, by split; an image that has several
            labels counts for each of them.
        images: Number of images by split.
        skipped: Number of unreadable images left out, by split; ``all`` stands for those left out
            before the images were divided.
        steps_per_epoch: Training steps an epoch.
        model: The model's layers, and when each of them trains.
        features: How features are cached, as a phrase; None where they are not.
        steps: Training steps made before, by the run that now resumes.
        history: Metrics of the epochs that it has ended before.
        stop: Asks the run to stop.
        sample: Returns images of the first training batch of the epoch that begins, as the model
            gets them before they are normalized: uint8, shape (N, height, width, 3).
    """

    folder: Path
    spec: ExperimentSpec
    backend: str
    device: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    images: dict[str, int]
    skipped: dict[str, int]
    steps_per_epoch: int
    model: ModelSummary
    features: str | None = None
    steps: int = 0
    stop: StopRequest = field(default_factory=StopRequest)
    history: tuple[EpochMetrics, ...] = ()
    sample: Callable[[], NDArray[np.uint8]] | None = None


@dataclass(frozen=True)
class StepEnded:
    """A training step was handed to the device.

    Attributes:
        epoch: The epoch, from 1.
        step: The step within the epoch, from 1.
        loss: The most recent loss known, that of an earlier step; None before the first.
        stop: Asks the run to stop.
        loss_step: The step that `loss` is of, counted from 1 over the whole run.
    """

    epoch: int
    step: int
    loss: float | None
    stop: StopRequest = field(default_factory=StopRequest)
    loss_step: int = 0


@dataclass(frozen=True)
class EpochEnded:
    """An epoch and its evaluation, if it has one, are over.

    Attributes:
        metrics: The epoch's metrics.
        best: Whether it is the best epoch so far. Then its checkpoint is on disk, and so is the
            file of ``checkpoint.save_best_as``; other checkpoints may still be written.
        stop: Asks the run to stop.
        loss: Loss of the epoch's last training step.
    """

    metrics: EpochMetrics
    best: bool
    stop: StopRequest = field(default_factory=StopRequest)
    loss: float | None = None


RunStatus = Literal["finished", "stopped", "failed"]
"""``stopped``: on request, saved and resumable, or interrupted; ``failed``: by an error."""


@dataclass(frozen=True)
class RunEnded:
    """A run that had started is over, whatever ended it.

    Attributes:
        folder: The run folder.
        status: How it ended.
        summary: Content of ``summary.json``.
        error: What stopped it or made it fail; None if it finished.
    """

    folder: Path
    status: RunStatus
    summary: dict[str, Any]
    error: BaseException | None = None


@dataclass(frozen=True)
class RunFinished:
    """A run has finished. :class:`RunEnded` follows, as it does however a run ends.

    Attributes:
        folder: The run folder.
        summary: Content of ``summary.json``.
        run: Returns the finished run, as ``isotune.run`` does then: an
            :class:`isotune.experiment.result.Run`.
    """

    folder: Path
    summary: dict[str, Any]
    run: Callable[[], Any] | None = None

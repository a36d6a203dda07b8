"""What observers of a run are told."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isotune.interfaces.summary import ModelSummary
from isotune.spec.experiment import ExperimentSpec


@dataclass(frozen=True)
class EpochMetrics:
    """The figures of one epoch: a line of ``metrics.jsonl``.

    A checkpoint within an epoch holds those of the epoch so far.

    Attributes:
        epoch: from 1.
        steps: training steps made so far in the run.
        learning_rate: that of the epoch's last step.
        train_loss: mean over the epoch's samples, while the weights moved.
        train_accuracy: likewise, 0 to 1.
        val_loss: mean over the validation samples, after the epoch; NaN in an epoch
            without evaluation.
        val_accuracy: likewise, 0 to 1.
        train_seconds: wall time of the training part.
        val_seconds: wall time of the validation part.
        data_seconds: the part of `train_seconds` spent waiting for images.
        step_ms: median milliseconds a training step, the run's first step left out; NaN in
            an epoch of one step.
    """

    epoch: int
    steps: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    train_seconds: float
    val_seconds: float
    data_seconds: float
    step_ms: float

    @property
    def evaluated(self) -> bool:
        """Whether the model was evaluated after this epoch."""
        return not math.isnan(self.val_loss)

    def as_json(self) -> dict[str, Any]:
        """Returns plain data, with null for NaN, which JSON does not have."""
        values = dataclasses.asdict(self)
        return {k: v if math.isfinite(v) else None for k, v in values.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EpochMetrics:
        """The inverse of :meth:`as_json`."""
        known: dict[str, Any] = {k: math.nan if v is None else v for k, v in values.items()}
        return cls(**known)


@dataclass(frozen=True)
class RunStarted:
    """Everything is ready for the first step.

    Attributes:
        folder: the run folder.
        counts: images of each class, in label order, by split.
        skipped: unreadable images left out, by split.
        model: its layers and what of them trains.
        features: how features are kept, in words; None where they are not.
        steps: training steps that were made before, in the run that now goes on.
    """

    folder: Path
    spec: ExperimentSpec
    backend: str
    device: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    skipped: dict[str, int]
    steps_per_epoch: int
    model: ModelSummary
    features: str | None = None
    steps: int = 0


@dataclass(frozen=True)
class StepEnded:
    """A training step was handed to the device.

    Attributes:
        epoch: from 1.
        step: within the epoch, from 1.
        loss: the newest loss known, that of a step or more ago; None before the first.
    """

    epoch: int
    step: int
    loss: float | None


@dataclass(frozen=True)
class EpochEnded:
    """An epoch and its evaluation, if it has one, are over.

    Attributes:
        best: whether it is the best so far.
    """

    metrics: EpochMetrics
    best: bool


@dataclass(frozen=True)
class RunFinished:
    """The run is over; `summary` is what ``summary.json`` holds."""

    folder: Path
    summary: dict[str, Any]

"""What observers of a run are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.summary import ModelSummary
from isotune.spec.experiment import ExperimentSpec


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

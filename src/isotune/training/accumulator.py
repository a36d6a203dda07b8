"""What an epoch's training steps add up to."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import TrainingError
from isotune.interfaces.dataset import Batch
from isotune.interfaces.events import EpochMetrics
from isotune.interfaces.trainer import HostOutputs
from isotune.training.probabilities import predicted


class Stopwatch:
    """Adds up the time spent waiting for an iterator."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def timing(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yields `batches`."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.seconds += time.perf_counter() - start
            if batch is None:
                return
            yield batch


@dataclass
class EpochAccumulator:
    """Sums over the training steps of an epoch whose outputs have been fetched.

    Attributes:
        epoch: from 1.
        loss: the losses, each times its samples.
        learning_rate: that of the newest step.
        newest_loss: that of the newest step; None before the first.
        step_seconds: seconds a step, averaged between two waits for the device.
        waiting: for images.
        steps: training steps whose outputs have been taken in.
    """

    epoch: int
    loss: float = 0.0
    correct: int = 0
    samples: int = 0
    learning_rate: float = 0.0
    newest_loss: float | None = None
    step_seconds: list[float] = field(default_factory=list)
    waiting: Stopwatch = field(default_factory=Stopwatch)
    begin: float = field(default_factory=time.perf_counter)
    steps: int = 0

    def as_json(self) -> dict[str, Any]:
        """Returns the sums as plain data, from which another process goes on with the epoch."""
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "samples": self.samples,
            "loss": self.loss,
            "correct": self.correct,
            "learning_rate": self.learning_rate,
            "newest_loss": self.newest_loss,
            "seconds": time.perf_counter() - self.begin,
            "data_seconds": self.waiting.seconds,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EpochAccumulator:
        """The inverse of :meth:`as_json`; the clock goes on from where it was."""
        same = ("epoch", "steps", "samples", "loss", "correct", "learning_rate", "newest_loss")
        return cls(
            **{name: values[name] for name in same},
            waiting=Stopwatch(values["data_seconds"]),
            begin=time.perf_counter() - values["seconds"],
        )

    def add(self, fetched: Sequence[HostOutputs], labels: list[NDArray[np.int32]]) -> None:
        """Takes in the outputs of some steps, and as many batches of `labels` from its front.

        Raises:
            TrainingError: a loss is not a finite number.
        """
        for outputs in fetched:
            truth = labels.pop(0)
            if not math.isfinite(outputs.loss):
                raise TrainingError(
                    f"the training loss became {outputs.loss} in epoch {self.epoch};"
                    " a smaller optimizer.lr usually helps."
                )
            self.newest_loss = outputs.loss
            self.loss += outputs.loss * len(truth)
            self.correct += int((predicted(outputs.logits) == truth).sum())
            self.samples += len(truth)
            self.steps += 1

    def metrics(self, steps: int) -> EpochMetrics:
        """Returns the figures of the epoch so far, without evaluation.

        Args:
            steps: training steps made so far in the run.
        """
        seconds = self.step_seconds
        return EpochMetrics(
            epoch=self.epoch,
            steps=steps,
            learning_rate=self.learning_rate,
            train_loss=self.loss / self.samples,
            train_accuracy=self.correct / self.samples,
            val_loss=math.nan,
            val_accuracy=math.nan,
            train_seconds=time.perf_counter() - self.begin,
            val_seconds=0.0,
            data_seconds=self.waiting.seconds,
            step_ms=statistics.median(seconds) * 1000 if seconds else math.nan,
        )

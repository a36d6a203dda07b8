"""Accumulates metrics over the training steps of an epoch."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Batch, Labels
from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.trainer import HostOutputs, TrainingPlan
from isotune.metrics.thresholds import USUAL
from isotune.spec.metrics import ALWAYS
from isotune.training.micro_batches import batch_weight
from isotune.training.probabilities import predicted, probabilities

StepScores = NDArray[np.float64]
"""What the sums of an epoch take of each part of each step: shape (steps, parts, columns)."""

LOSS, WEIGHT, CORRECT, ANSWERS, SAMPLES, NORM = range(6)
"""Columns of it: the mean loss, the sum of its images' weights, the number of correct answers, of
all answers and of images, and the norm of the update's gradient or NaN. The losses and numbers of
an empty part are 0."""

COLUMNS = 6
"""Number of these columns."""


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
    """Accumulates metrics over the training steps of an epoch whose outputs have been fetched.

    Attributes:
        epoch: Counted from 1.
        loss: Sum of the losses of all images, each times the weight of its class.
        weight: Sum of these weights; the number of images without class weights.
        correct: Number of answers that were correct: of images that were predicted correctly or,
            where an image may have several labels, of correct answers to whether it is of a class.
            Of images that were mixed, the class with the largest share counts as the correct one,
            and a label above a half as one of the image.
        samples: Number of images.
        learning_rate: Learning rate of the most recent step.
        last_loss: Loss of the most recent step, or None before the first.
        step_seconds: Seconds of a step, averaged between two waits for the device.
        waiting: Measures the time spent waiting for images.
        begin: When the epoch began, on the clock of ``time.perf_counter``.
        steps: Number of training steps.
        answers: Number of answers of which `correct` were.
        grad_norm: Sum of the updates' finite gradient norms.
        updates: Number of these updates.
    """

    epoch: int
    loss: float = 0.0
    weight: float = 0.0
    correct: int = 0
    samples: int = 0
    learning_rate: float = 0.0
    last_loss: float | None = None
    step_seconds: list[float] = field(default_factory=list)
    waiting: Stopwatch = field(default_factory=Stopwatch)
    begin: float = field(default_factory=time.perf_counter)
    steps: int = 0
    answers: int = 0
    grad_norm: float = 0.0
    updates: int = 0

    def as_json(self) -> dict[str, Any]:
        """Returns plain data, from which another process continues the epoch."""
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "samples": self.samples,
            "loss": self.loss,
            "weight": self.weight,
            "correct": self.correct,
            "answers": self.answers,
            "grad_norm": self.grad_norm,
            "updates": self.updates,
            "learning_rate": self.learning_rate,
            "last_loss": self.last_loss,
            "seconds": time.perf_counter() - self.begin,
            "data_seconds": self.waiting.seconds,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EpochAccumulator:
        """The inverse of :meth:`as_json`; the clock continues from where it was.

        Earlier versions wrote no weight and weighed every batch by its number of images, no
        number of answers, which was that of the images, and no gradient norms.
        """
        same = ("epoch", "steps", "samples", "loss", "correct", "learning_rate")
        return cls(
            **{name: values[name] for name in same},
            weight=values["samples"] if values.get("weight") is None else values["weight"],
            answers=values.get("answers") or values["samples"],
            grad_norm=values.get("grad_norm", 0.0),
            updates=values.get("updates", 0),
            last_loss=values["last_loss"],
            waiting=Stopwatch(values["data_seconds"]),
            begin=time.perf_counter() - values["seconds"],
        )

    def add(self, scores: StepScores) -> None:
        """Adds the outputs of some steps.

        A batch's loss counts by the weights of its images, so that the epoch's mean does not
        depend on how its images are divided into batches, or these into parts. Sums are those of
        the parts in order, whoever computed them.

        Args:
            scores: Those of the steps that follow.
        """
        for parts in scores.tolist():
            sums = [part[LOSS] * part[WEIGHT] for part in parts]
            weight = sum(part[WEIGHT] for part in parts)
            self.last_loss = parts[0][LOSS] if len(parts) == 1 else sum(sums) / weight
            for part, loss in zip(parts, sums, strict=True):
                self.loss += loss
                self.weight += part[WEIGHT]
                self.correct += int(part[CORRECT])
                self.answers += int(part[ANSWERS])
                self.samples += int(part[SAMPLES])
            self.steps += 1
            # An update that float16 leaves out has an infinite one.
            if finite := [part[NORM] for part in parts if math.isfinite(part[NORM])]:
                self.grad_norm += finite[0]
                self.updates += 1

    def metrics(
        self, steps: int, evaluated: Iterable[str] = (), clips: bool = False
    ) -> EpochMetrics:
        """Returns the metrics of the epoch so far, without an evaluation.

        Args:
            steps: Number of training steps made so far in the run.
            evaluated: Metrics of an evaluation besides loss and accuracy; they are NaN here.
            clips: Whether the run clips gradients, so that their norm is a metric.
        """
        norm = self.grad_norm / self.updates if self.updates else math.nan
        seconds = self.step_seconds
        validation = (f"val_{name}" for name in (*ALWAYS, *evaluated))
        return EpochMetrics(
            epoch=self.epoch,
            steps=steps,
            learning_rate=self.learning_rate,
            values={
                "train_loss": self.loss / self.weight,
                "train_accuracy": self.correct / self.answers,
                **({"grad_norm": norm} if clips else {}),
                **dict.fromkeys(validation, math.nan),
            },
            train_seconds=time.perf_counter() - self.begin,
            val_seconds=0.0,
            data_seconds=self.waiting.seconds,
            step_ms=statistics.median(seconds) * 1000 if seconds else math.nan,
        )


def scored(
    fetched: Sequence[HostOutputs], labels: list[Labels], plan: TrainingPlan, parts: int = 1
) -> StepScores:
    """Returns what an epoch's sums take of some steps, and removes these from `labels`.

    Args:
        fetched: Outputs of training steps, in order.
        labels: Labels of their batches, or of the parts of these, and perhaps of later ones.
        plan: Describes the loss.
        parts: Number of this process's parts of a batch.
    """
    rows = np.zeros((len(fetched), COLUMNS))
    for row, outputs in zip(rows, fetched, strict=True):
        truth = labels.pop(0)
        row[NORM] = outputs.grad_norm
        if len(truth):
            right = _correct(outputs.logits, truth, plan)
            row[LOSS], row[WEIGHT] = outputs.loss, batch_weight(truth, plan)
            row[CORRECT], row[ANSWERS], row[SAMPLES] = right.sum(), right.size, len(truth)
    return rows.reshape(-1, parts, COLUMNS)


def _correct(logits: NDArray[np.float32], labels: Labels, plan: TrainingPlan) -> NDArray[np.bool_]:
    """Returns which answers are correct: of shape (N,), or (N, classes) of several labels."""
    if plan.multi_label:
        several: NDArray[np.bool_] = (probabilities(logits, plan.loss) >= USUAL) == (labels > 0.5)
        return several
    main = labels.argmax(axis=1) if labels.ndim == 2 else labels
    correct: NDArray[np.bool_] = predicted(logits, plan.loss) == main
    return correct

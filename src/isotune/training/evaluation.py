"""Evaluation: logits from the backend, metrics in NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, DeviceBatch, FeatureBatch, Labels, Normalization
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.metrics import METRICS
from isotune.metrics.metric import ScoredLabels
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.loss import LOSSES
from isotune.spec.metrics import ALWAYS
from isotune.training.probabilities import predicted, probabilities

LabelBatches = list[Labels]
"""Labels of batches."""

Samples = TypeVar("Samples", Batch, FeatureBatch)

FETCH_EVERY = 16
"""Steps between two waits for the device, which is not synchronized at every step."""


@dataclass(frozen=True)
class Evaluation(ScoredLabels):
    """A model's outputs for labeled images, in the order of the images.

    Attributes:
        metrics: Values by the names of :data:`isotune.metrics.METRICS`.
    """

    metrics: Mapping[str, float]

    @property
    def accuracy(self) -> float:
        """Share of images whose most likely class is the true one, in [0, 1]."""
        return self.metrics["accuracy"]


def evaluation_size(spec: ExperimentSpec, backend: Backend) -> int:
    """Returns the maximum number of images of an evaluation step."""
    return spec.eval_batch_size or backend.inference_batch_size()


def logits_by_batch(
    backend: Backend,
    trainer: Trainer,
    batches: Iterable[Batch],
    normalization: Normalization,
    fetch_every: int = FETCH_EVERY,
) -> Iterator[NDArray[np.float32]]:
    """Yields the logits of each batch: float32, shape (N, outputs).

    Args:
        backend: The backend of the model.
        trainer: Holds the model.
        batches: The images.
        normalization: How the images are normalized.
        fetch_every: Number of steps between two waits for the device, whose logits come at once.
    """
    return logits_of(trainer, backend.dataset.feed(batches, normalization), fetch_every)


def logits_of(
    trainer: Trainer, batches: Iterable[DeviceBatch], fetch_every: int = FETCH_EVERY
) -> Iterator[NDArray[np.float32]]:
    """Yields the logits of each batch that is on the device: float32, shape (N, outputs)."""
    steps = (trainer.eval_step(batch) for batch in batches)
    while pending := list(islice(steps, fetch_every)):
        for outputs in trainer.fetch(pending):
            yield outputs.logits


def collect_labels(batches: Iterable[Samples], labels: LabelBatches) -> Iterator[Samples]:
    """Yields `batches` and appends the labels of each to `labels`.

    Feeding a device may run ahead of its steps, so labels queue up until their outputs are fetched.
    """
    for batch in batches:
        labels.append(batch.labels)
        yield batch


def evaluate(
    backend: Backend,
    trainer: Trainer,
    batches: Iterable[Batch],
    normalization: Normalization,
    plan: TrainingPlan,
    metrics: Iterable[str] = METRICS,
) -> Evaluation:
    """Evaluates a model on labeled images; nothing of the model changes.

    Args:
        backend: The backend of the model.
        trainer: Holds the model.
        batches: The images.
        normalization: How the images are normalized.
        plan: Describes the loss.
        metrics: Names of the metrics to compute besides loss and accuracy.
    """
    labels = LabelBatches()
    collected = collect_labels(batches, labels)
    logits = np.concatenate(list(logits_by_batch(backend, trainer, collected, normalization)))
    return assess(logits, np.concatenate(labels), plan, metrics)


def assess(
    logits: NDArray[np.float32],
    labels: NDArray[np.int32],
    plan: TrainingPlan,
    metrics: Iterable[str] = METRICS,
) -> Evaluation:
    """Computes metrics of logits.

    Args:
        logits: float32, shape (N, outputs).
        labels: int32, shape (N,).
        plan: Describes the loss.
        metrics: Names of the metrics to compute besides loss and accuracy.
    """
    total, weight = LOSSES[plan.loss](logits, labels, plan.label_smoothing, plan.class_weights)
    values: dict[str, float] = {}
    evaluation = Evaluation(
        loss=total / weight,
        logits=logits,
        probabilities=probabilities(logits, plan.loss),
        predicted=predicted(logits, plan.loss),
        labels=labels,
        metrics=values,
    )
    names = dict.fromkeys((*ALWAYS, *metrics))
    values.update((name, METRICS[name].function(evaluation)) for name in names)
    return evaluation

"""Evaluation: logits from the backend, metrics from NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, DeviceBatch, Normalization
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.loss import LOSSES
from isotune.training.probabilities import predicted, probabilities

FETCH_EVERY = 16
"""Steps between two waits for the device: it is not synchronized at every step."""


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of some labelled images.

    Attributes:
        loss: the experiment's mean loss, with its smoothing and class weights.
        accuracy: share of images whose likeliest class is the label's, 0 to 1.
        logits: float32, shape (N, classes), or (N, 1) from a single output, in the order of the
            images.
        probabilities: float32, shape (N, classes).
        predicted: labels of the likeliest classes: int64, shape (N,).
        labels: int32, shape (N,).
    """

    loss: float
    accuracy: float
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    predicted: NDArray[np.int64]
    labels: NDArray[np.int32]


def evaluation_size(spec: ExperimentSpec, backend: Backend) -> int:
    """Returns how many images an evaluation step takes, at most."""
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
        backend: whose model is asked.
        trainer: holds the model.
        batches: the images.
        normalization: of the images.
        fetch_every: steps between two waits for the device; so many batches' logits come at once.
    """
    return logits_of(trainer, backend.dataset.feed(batches, normalization), fetch_every)


def logits_of(
    trainer: Trainer, fed: Iterable[DeviceBatch], fetch_every: int = FETCH_EVERY
) -> Iterator[NDArray[np.float32]]:
    """Yields the logits of each batch that is on the device: float32, shape (N, outputs)."""
    steps = (trainer.eval_step(batch) for batch in fed)
    while pending := list(islice(steps, fetch_every)):
        for outputs in trainer.fetch(pending):
            yield outputs.logits


def evaluate(
    backend: Backend,
    trainer: Trainer,
    batches: Iterable[Batch],
    normalization: Normalization,
    plan: TrainingPlan,
) -> Evaluation:
    """Evaluates a model on labelled images; nothing of the model changes."""
    labels: list[NDArray[np.int32]] = []

    def noting_labels() -> Iterator[Batch]:
        for batch in batches:
            labels.append(batch.labels)
            yield batch

    logits = np.concatenate(list(logits_by_batch(backend, trainer, noting_labels(), normalization)))
    return assess(logits, np.concatenate(labels), plan)


def assess(logits: NDArray[np.float32], truth: NDArray[np.int32], plan: TrainingPlan) -> Evaluation:
    """Returns what logits come to.

    Args:
        logits: float32, shape (N, outputs).
        truth: the labels, int32, shape (N,).
        plan: says which loss.
    """
    total, weight = LOSSES[plan.loss](logits, truth, plan.label_smoothing, plan.class_weights)
    found = predicted(logits)
    return Evaluation(
        loss=total / weight,
        accuracy=float((found == truth).mean()),
        logits=logits,
        probabilities=probabilities(logits, plan.loss),
        predicted=found,
        labels=truth,
    )

"""Evaluation: logits from the backend, metrics from NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, Normalization
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.training.loss import cross_entropy

FETCH_EVERY = 16
"""Steps between two waits for the device: it is not synchronised at every step."""


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of some labelled pictures.

    Attributes:
        loss: mean cross entropy, with the experiment's smoothing and class weights.
        accuracy: share of pictures whose highest logit is the label's, 0 to 1.
        logits: float32, shape (N, classes), in the order of the pictures.
        labels: int32, shape (N,).
    """

    loss: float
    accuracy: float
    logits: NDArray[np.float32]
    labels: NDArray[np.int32]


def predict_logits(
    backend: Backend, trainer: Trainer, batches: Iterable[Batch], normalization: Normalization
) -> NDArray[np.float32]:
    """Returns the logits of all pictures: float32, shape (N, classes), in their order."""
    steps = (trainer.eval_step(b) for b in backend.dataset.feed(batches, normalization))
    chunks: list[NDArray[np.float32]] = []
    while pending := list(islice(steps, FETCH_EVERY)):
        chunks.extend(outputs.logits for outputs in trainer.fetch(pending))
    return np.concatenate(chunks)


def evaluate(
    backend: Backend,
    trainer: Trainer,
    batches: Iterable[Batch],
    normalization: Normalization,
    plan: TrainingPlan,
) -> Evaluation:
    """Evaluates a model on labelled pictures; nothing of the model changes."""
    labels: list[NDArray[np.int32]] = []

    def noting_labels() -> Iterator[Batch]:
        for batch in batches:
            labels.append(batch.labels)
            yield batch

    logits = predict_logits(backend, trainer, noting_labels(), normalization)
    truth = np.concatenate(labels)
    total, weight = cross_entropy(logits, truth, plan.label_smoothing, plan.class_weights)
    return Evaluation(total / weight, accuracy(logits, truth), logits, truth)


def accuracy(logits: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    """Returns the share of rows whose highest logit is the label's."""
    return float((logits.argmax(axis=1) == labels).mean())

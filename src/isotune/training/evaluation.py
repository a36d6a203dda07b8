"""Evaluation: logits from the backend, metrics in NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar, Union, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_never

from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, DeviceBatch, FeatureBatch, Labels, Normalization
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.metrics import METRICS
from isotune.metrics.metric import Scored, ScoredLabels, ScoredMultiLabels
from isotune.metrics.thresholds import USUAL, max_f1_thresholds
from isotune.printable import html_table
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.loss import LOSSES
from isotune.spec.metrics import ALWAYS, ThresholdRule
from isotune.training.probabilities import predicted, probabilities

LabelBatches = list[Labels]
"""Labels of batches."""

Samples = TypeVar("Samples", Batch, FeatureBatch)

MOST_CLASSES, MOST_PAIRED = 50, 10
"""Largest numbers of classes whose images a notebook counts, and by what was predicted, too."""

FETCH_EVERY = 16
"""Steps between two waits for the device, which is not synchronized at every step."""


class _Shown(Scored):
    """How evaluations show themselves.

    Attributes:
        metrics: Values by the names of :data:`isotune.metrics.METRICS`.
        classes: Names of the classes.
    """

    metrics: Mapping[str, float]
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        images, values = len(self.logits), ", ".join(f"{n} {v}" for n, v in self._written())
        return f"{type(self).__name__}({images:,} image{'s' * (images != 1)}: {values})"

    def _repr_html_(self) -> str:
        """Returns the metrics and, of not too many classes, their numbers of images."""
        rows = [("images", f"{len(self.logits):,}"), *self._written()]
        shown = html_table(("", ""), ("left", "right"), rows)
        names = self.classes or tuple(map(str, range(self.probabilities.shape[1])))
        if len(names) > MOST_CLASSES:
            return shown
        columns, counts = self._by_class(names)
        align = ["left", *["right"] * (len(columns) - 1)]
        return shown + html_table(
            columns, align, [[n, *c] for n, c in zip(names, counts, strict=True)]
        )

    def _by_class(self, names: Sequence[str]) -> tuple[Sequence[str], Iterable[Iterable[str]]]:
        """Returns headings, and numbers of images of each class."""
        counts = (map("{:,}".format, row) for row in zip(*self.counts, strict=True))
        return ("class", "images", "predicted", "correct"), counts

    def _written(self) -> list[tuple[str, str]]:
        """Returns names and values as people write them."""
        return [(name, METRICS[name].text(value)) for name, value in self.metrics.items()]


@dataclass(frozen=True, repr=False)
class Evaluation(_Shown, ScoredLabels):
    """A model's outputs for labeled images, in the order of the images.

    Attributes:
        metrics: Values by the names of :data:`isotune.metrics.METRICS`.
        classes: Names of the classes, in label order; empty where they are unknown.
    """

    metrics: Mapping[str, float]
    classes: tuple[str, ...] = ()

    def _by_class(self, names: Sequence[str]) -> tuple[Sequence[str], Iterable[Iterable[str]]]:
        if len(names) > MOST_PAIRED:
            return super()._by_class(names)
        counts = (map("{:,}".format, row) for row in self.confusion)
        return ("true / predicted", *names), counts

    @property
    def accuracy(self) -> float:
        """Share of images whose most likely class is the true one, in [0, 1]."""
        return self.metrics["accuracy"]


@dataclass(frozen=True, repr=False)
class MultiLabelEvaluation(_Shown, ScoredMultiLabels):
    """A model's outputs for images that may have several labels, in the order of the images.

    Attributes:
        metrics: Values by the names of :data:`isotune.metrics.METRICS`.
        classes: Names of the classes, in label order; empty where they are unknown.
    """

    metrics: Mapping[str, float]
    classes: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of correct answers to whether an image is of a class, in [0, 1]."""
        return self.metrics["accuracy"]


AnyEvaluation = Union[Evaluation, MultiLabelEvaluation]

Thresholds = Union[ThresholdRule, NDArray[np.float32], None]
"""How labels are predicted where an image may have several: a threshold for each class, float32 of
shape (classes,), or how they are chosen by the evaluated images; None is the usual one."""


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


def joined(labels: LabelBatches) -> Labels:
    """Returns the labels of all batches."""
    return cast("Labels", np.concatenate(labels))


def assess(
    logits: NDArray[np.float32],
    labels: Labels,
    plan: TrainingPlan,
    metrics: Iterable[str] | None = None,
    thresholds: Thresholds = None,
) -> AnyEvaluation:
    """Computes metrics of logits.

    Args:
        logits: float32, shape (N, outputs).
        labels: The images' labels.
        plan: Describes the loss.
        metrics: Names of the metrics to compute besides loss and accuracy; None for all.
        thresholds: Used where an image may have several labels.
    """
    several = labels.ndim == 2  # evaluated images are never mixed
    total, weight = LOSSES[plan.loss](
        logits, labels, plan.label_smoothing, plan.class_weights, several
    )
    loss, shares = total / weight, probabilities(logits, plan.loss)
    values: dict[str, float] = {}
    evaluation: AnyEvaluation
    if several:
        targets = labels.astype(np.float32, copy=False)
        limits = _thresholds(thresholds, shares, targets)
        reached = shares >= limits
        evaluation = MultiLabelEvaluation(loss, logits, shares, reached, targets, limits, values)
    else:
        own, best = labels.astype(np.int32, copy=False), predicted(logits, plan.loss)
        evaluation = Evaluation(loss, logits, shares, best, own, values)
    values.update(_values(evaluation, metrics))
    return evaluation


def _values(scored: Scored, metrics: Iterable[str] | None) -> Iterator[tuple[str, float]]:
    several = isinstance(scored, ScoredMultiLabels)
    if metrics is None:
        metrics = (name for name, metric in METRICS.items() if metric.applies(several))
    for name in dict.fromkeys((*ALWAYS, *metrics)):
        yield name, scored.value(METRICS[name])


def _thresholds(
    thresholds: Thresholds, shares: NDArray[np.float32], labels: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Returns a threshold for each class, float32 of shape (classes,)."""
    if isinstance(thresholds, str):
        match thresholds:
            case "max_f1":
                return max_f1_thresholds(shares, labels > 0.5)
            case _:
                assert_never(thresholds)
    if isinstance(thresholds, np.ndarray):
        return thresholds
    return np.full(shares.shape[1], thresholds or USUAL, np.float32)

"""Micro-batches: several batches, and several parts of each, make one update as one batch would."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from typing_extensions import assert_never

from isotune.data.batches import Batches
from isotune.interfaces.dataset import Labels
from isotune.interfaces.division import UNDIVIDED, Division, Part
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.experiment import ExperimentSpec


@dataclass(frozen=True)
class MicroBatch:
    """A training batch, or a part of one, as a part of the update that it contributes to.

    Attributes:
        update_start: Position in the epoch, from 0, of the update's first batch.
        loss_scale: Weight of its mean loss in the mean loss of the update.
        apply_update: Whether the update follows it.
        part: Which part of a divided batch it is.
    """

    update_start: int
    loss_scale: float = 1.0
    apply_update: bool = True
    part: Part | None = None


def epoch_micro_batches(
    spec: ExperimentSpec,
    plan: TrainingPlan,
    train: Batches,
    epoch: int,
    division: Division = UNDIVIDED,
) -> list[MicroBatch]:
    """Returns the micro-batches of an experiment's epoch that this process computes.

    Args:
        spec: The experiment.
        plan: Its settings of a trainer.
        train: Its training batches.
        epoch: The epoch, from 0.
        division: How they are divided.
    """
    if spec.accumulate == 1 and division.whole:
        return [MicroBatch(number) for number in range(len(train))]
    labels: Iterable[Labels] = train.labels(epoch)
    if plan.class_weights is None:  # numbers of images are all that counts
        labels = (np.broadcast_to(np.int32(0), size) for size in train.sizes)
    return micro_batches(labels, spec.accumulate, plan, division)


def micro_batches(
    labels: Iterable[Labels],
    every: int,
    plan: TrainingPlan,
    division: Division = UNDIVIDED,
) -> list[MicroBatch]:
    """Returns the micro-batches of an epoch; its last update may have fewer of them.

    Means are weighted: a batch, or a part of one, counts by its samples or, with class weights, by
    the sum of theirs; an empty part by 0. So the gradients add up to those of a batch of all
    samples, as far as the model treats each sample by itself, which BatchNorm and dropout do not.

    Args:
        labels: Labels of each batch.
        every: Number of batches per update.
        plan: Describes the loss.
        division: How batches are divided: their own parts, in order, stand for them.
    """
    result, sizes, weights = [], list[int](), list[list[float]]()
    for batch in labels:
        parts = pairwise(division.edges(len(batch)))
        sizes.append(len(batch))
        weights.append([batch_weight(batch[start:stop], plan) for start, stop in parts])
    for start in range(0, len(weights), every):
        update = np.array(weights[start : start + every])
        scales = (update / update.ravel().sum()).tolist()
        last = start + len(scales) - 1
        for number, of_parts in enumerate(scales, start):
            for part in division.divide(sizes[number]):
                applies = number == last and part.last
                own = None if division.whole else part
                result.append(MicroBatch(start, of_parts[part.index], applies, own))
    return result


def batch_weight(labels: Labels, plan: TrainingPlan) -> float:
    """Returns the denominator of a batch's mean loss: its images or the sum of their weights.

    :mod:`isotune.spec.loss` defines it. Where an image may have several labels, class weights
    weigh labels instead of images, and so they do in the cross entropy of images that were mixed.

    Args:
        labels: The batch's labels.
        plan: Describes the loss.
    """
    weights = plan.class_weights
    if weights is None or plan.multi_label:
        return float(len(labels))
    if labels.ndim == 1:
        return float(weights[labels].sum(dtype=float))
    match plan.loss:
        case "cross_entropy":
            return float(len(labels))
        case "binary_cross_entropy":
            return float((labels @ weights.astype(float)).sum())
        case _:
            assert_never(plan.loss)

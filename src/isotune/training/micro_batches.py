"""Gradient accumulation: several batches make one update, as one larger batch would."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from typing_extensions import assert_never

from isotune.data.batches import Batches
from isotune.interfaces.dataset import Labels
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.experiment import ExperimentSpec


@dataclass(frozen=True)
class MicroBatch:
    """A training batch as a part of the update that it contributes to.

    Attributes:
        update_start: Position in the epoch, from 0, of the update's first micro-batch.
        loss_scale: Weight of its mean loss in the mean loss of the update's micro-batches.
        apply_update: Whether the update follows it.
    """

    update_start: int
    loss_scale: float = 1.0
    apply_update: bool = True


def epoch_micro_batches(
    spec: ExperimentSpec, plan: TrainingPlan, train: Batches, epoch: int
) -> list[MicroBatch]:
    """Returns the micro-batches of an experiment's epoch.

    Args:
        spec: The experiment.
        plan: Its settings of a trainer.
        train: Its training batches.
        epoch: The epoch, from 0.
    """
    if spec.accumulate == 1:
        return [MicroBatch(number) for number in range(len(train))]
    return micro_batches(train.labels(epoch), spec.accumulate, plan)


def micro_batches(labels: Iterable[Labels], every: int, plan: TrainingPlan) -> list[MicroBatch]:
    """Returns the micro-batches of an epoch; its last update may have fewer of them.

    Means are weighted: a batch counts by its samples or, with class weights, by the sum of
    theirs. So the gradients add up to those of a batch of all samples, as far as the model
    treats each sample by itself, which BatchNorm and dropout do not.

    Args:
        labels: Labels of each batch.
        every: Number of batches per update.
        plan: Describes the loss.
    """
    result, weights = [], np.array([batch_weight(batch, plan) for batch in labels])
    for start in range(0, len(weights), every):
        update = weights[start : start + every]
        *scales, last = (update / update.sum()).tolist()
        result += [MicroBatch(start, scale, apply_update=False) for scale in scales]
        result.append(MicroBatch(start, last))
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

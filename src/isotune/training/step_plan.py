"""The plan of a training step: what the spec says of it, besides its batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from isotune.interfaces.trainer import StepPlan
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.schedule import EndedEpoch, Moment
from isotune.training.micro_batches import MicroBatch


def step_plan(
    spec: ExperimentSpec,
    per_epoch: int,
    step: int,
    micro_batch: MicroBatch,
    history: Sequence[EndedEpoch] = (),
) -> StepPlan:
    """Returns the plan of a step.

    Args:
        spec: The experiment.
        per_epoch: Number of steps of an epoch.
        step: The step's number, from 0 over the whole run.
        micro_batch: What of the step's update it computes.
        history: Metrics of the epochs that have ended.
    """
    first = step - step % per_epoch + micro_batch.update_start
    rates = spec.schedule.rates(Moment(spec.optimizer.lr, first, per_epoch, spec.epochs, history))
    return StepPlan(
        step,
        rates.learning_rate,
        micro_batch.loss_scale,
        micro_batch.apply_update,
        rates.momentum,
        average_decay=_average_decay(spec, per_epoch, first, micro_batch),
        part=micro_batch.part,
    )


def _average_decay(
    spec: ExperimentSpec, per_epoch: int, first: int, micro_batch: MicroBatch
) -> float | None:
    """Returns the decay of the averages after an update that began with step `first`."""
    if spec.ema is None or not micro_batch.apply_update:
        return None
    epoch, within = divmod(first, per_epoch)
    updates = math.ceil(per_epoch / spec.accumulate)
    return spec.ema.decay_at(epoch * updates + within // spec.accumulate)

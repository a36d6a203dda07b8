"""Learning-rate schedules: a pure function of the step, so that a resumed run goes on exactly."""

from __future__ import annotations

import math
from bisect import bisect_right

from isotune.spec.schedule import (
    CosineSchedule,
    MultiStepSchedule,
    ScheduleSpec,
    StepSchedule,
)


def learning_rate(
    schedule: ScheduleSpec, base: float, step: int, steps_per_epoch: int, epochs: int
) -> float:
    """Returns the learning rate of one training step.

    Step decay changes at the start of an epoch, as PyTorch's ``StepLR`` stepped once an epoch.
    Cosine is ``final + (1 - final) * (1 + cos(pi * t)) / 2`` times `base` (Loshchilov and
    Hutter, SGDR, 2017, without restarts), where t is the part of all steps that is done,
    warm-up left out. Warm-up multiplies with a line from its ``start`` to 1.

    Args:
        schedule: which schedule.
        base: the optimizer's learning rate.
        step: from 0 over the whole run.
        steps_per_epoch: training steps an epoch.
        epochs: epochs of the whole run.
    """
    warmup = schedule.warmup.epochs * steps_per_epoch if schedule.warmup else 0.0
    if schedule.warmup and step < warmup:
        start = schedule.warmup.start
        base *= start + (1 - start) * step / warmup
    epoch = step // steps_per_epoch
    if isinstance(schedule, StepSchedule):
        return base * schedule.gamma ** (epoch // schedule.every)
    if isinstance(schedule, MultiStepSchedule):
        return base * schedule.gamma ** bisect_right(sorted(schedule.milestones), epoch)
    if isinstance(schedule, CosineSchedule):
        done = (step - warmup) / max(epochs * steps_per_epoch - warmup, 1)
        wave = (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2
        return base * (schedule.final + (1 - schedule.final) * wave)
    return base

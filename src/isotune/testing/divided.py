"""Batches that are divided into shards, computed part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from isotune.interfaces.dataset import Batch
from isotune.interfaces.division import Division, Part
from isotune.interfaces.trainer import HostOutputs, StepPlan, TrainingPlan
from isotune.testing.subject import (
    Learner,
)
from isotune.testing.values import NORMALIZATION
from isotune.training.micro_batches import batch_weight, micro_batches


@dataclass(frozen=True)
class PartStep:
    """A step on a part of a batch.

    Attributes:
        images: The part's images; one placeholder if it is empty.
        part: Its place in the batch.
        weight: Denominator of its mean loss; 0 if it is empty.
        plan: What the step does.
    """

    images: Batch
    part: Part
    weight: float
    plan: StepPlan


Computed = tuple[PartStep, HostOutputs]
"""A step with its results on the host."""


@dataclass(frozen=True)
class Update:
    """Some batches that make an update together.

    Attributes:
        batches: One step each.
        rate: Learning rate.
        step: Number of the first step.
        momentum: That of the update; None is the optimizer's own.
        decay: That of the averages; None without any.
    """

    batches: Sequence[Batch]
    rate: float
    step: int
    momentum: float | None = None
    decay: float | None = None

    def part_steps(self, plan: TrainingPlan, division: Division) -> Iterator[PartStep]:
        """Yields a process's steps, in order."""
        labels = [batch.labels for batch in self.batches]
        micro = iter(micro_batches(labels, len(labels), plan, division))
        for number, batch in enumerate(self.batches, self.step):
            for part in division.divide(len(batch)):
                place = slice(part.start, part.stop) if len(part) else slice(0, 1)
                images = Batch(batch.images[place], batch.labels[place])
                weight = batch_weight(images.labels, plan) if len(part) else 0.0
                one = next(micro)
                step = StepPlan(
                    number,
                    self.rate,
                    loss_scale=one.loss_scale,
                    apply_update=one.apply_update,
                    momentum=self.momentum if one.apply_update else None,
                    average_decay=self.decay if one.apply_update else None,
                    part=one.part,
                )
                yield PartStep(images, part, weight, step)


def train_parts(
    learner: Learner, updates: Sequence[Update], plan: TrainingPlan, division: Division
) -> list[Computed]:
    """Makes a process's steps, and fetches all results at the end."""
    steps = [step for update in updates for step in update.part_steps(plan, division)]
    fed = learner.backend.dataset.feed((step.images for step in steps), NORMALIZATION)
    outputs = [
        learner.trainer.train_step(replace(batch, size=len(step.part)), step.plan)
        for batch, step in zip(fed, steps, strict=True)
    ]
    return list(zip(steps, learner.trainer.fetch(outputs), strict=True))

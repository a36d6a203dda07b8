"""Batches that are divided into shards, computed part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from isotune.interfaces.dataset import Batch
from isotune.interfaces.division import Division, Part
from isotune.interfaces.trainer import HostOutputs, StepPlan, TrainingPlan
from isotune.testing.reference.trainer import ReferenceTrainer
from isotune.testing.subject import (
    LATER_LOGITS,
    Learner,
    assert_close,
    assert_states_close,
)
from isotune.testing.values import NORMALIZATION
from isotune.training.micro_batches import batch_weight


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

    def parts(
        self, plan: TrainingPlan, division: Division
    ) -> Iterator[tuple[Batch, StepPlan, Part]]:
        """Yields images, plan and place of each part of a process, in order.

        An empty part has the first image of its batch as a placeholder.
        """
        total = sum(batch_weight(batch.labels, plan) for batch in self.batches)
        for number, batch in enumerate(self.batches, self.step):
            for part in division.divide(len(batch)):
                place = slice(part.start, part.stop) if len(part) else slice(0, 1)
                images = Batch(batch.images[place], batch.labels[place])
                ends = part.last and batch is self.batches[-1]
                step = StepPlan(
                    number,
                    self.rate,
                    loss_scale=batch_weight(images.labels, plan) / total if len(part) else 0.0,
                    apply_update=ends,
                    momentum=self.momentum if ends else None,
                    average_decay=self.decay if ends else None,
                    part=part,
                )
                yield images, step, part


def train_parts(
    learner: Learner, updates: Sequence[Update], plan: TrainingPlan, division: Division
) -> list[tuple[Part, HostOutputs]]:
    """Makes a process's steps and fetches the outputs of its parts that have images."""
    steps = [each for update in updates for each in update.parts(plan, division)]
    fed = learner.backend.dataset.feed((images for images, _, _ in steps), NORMALIZATION)
    outputs = [
        (part, learner.trainer.train_step(replace(batch, size=len(part)), step))
        for batch, (_, step, part) in zip(fed, steps, strict=True)
    ]
    kept = [(part, each) for part, each in outputs if len(part)]
    fetched = learner.trainer.fetch([each for _, each in kept])
    return [(part, each) for (part, _), each in zip(kept, fetched, strict=True)]


def assert_same_updates(
    learner: Learner, reference: ReferenceTrainer, updates: Sequence[Update]
) -> list[HostOutputs]:
    """Makes divided updates in one process, and compares everything with the reference.

    Returns the outputs of parts that have images.
    """
    plan = reference.plan
    outputs = train_parts(learner, updates, plan, Division(plan.shards))
    rest = iter(outputs)
    for update in updates:
        passes = reference.train_update(
            update.batches, update.rate, update.step, update.momentum, update.decay
        )
        for shard in (shard for shards in passes for shard in shards):
            _, output = next(rest)
            assert_close(output.logits, shard.logits, LATER_LOGITS)
            assert_close(output.loss, shard.loss)
        assert_close(output.grad_norm, reference.grad_norm)
    assert_states_close(learner.state(), reference.state)
    assert_states_close(learner.optimizer_state(), reference.optimizer_state())
    if plan.averages:
        assert_states_close(learner.average(), reference.averages)
    return [output for _, output in outputs]

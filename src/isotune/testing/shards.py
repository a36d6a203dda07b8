"""Level of shards: batch statistics and dropout's masks are a shard's, gradients the batch's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isotune.errors import TrainingError
from isotune.interfaces.division import Division
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.loss import LOSSES, LossName
from isotune.spec.optimizer import AdamWSpec, SGDSpec
from isotune.testing.cases import (
    BACKBONE,
    PLAN,
    STATISTICS,
    WEIGHTS,
    learner_with_dropout,
    reference_with_dropout,
    updates,
)
from isotune.testing.contract import Contract, on
from isotune.testing.divided import Update, train_parts
from isotune.testing.mixed import joined, mixed, weighted
from isotune.testing.places import place_shown
from isotune.testing.same_steps import assert_same_updates
from isotune.testing.subject import Subject, assert_states_close, in_bytes
from isotune.testing.values import batch

SHARDS = 3


class Shards(Contract):
    """The level of divided batches, all of whose parts one process computes.

    Needs ``linear``, ``tiny_bn`` and ``tiny_dropout``.
    """

    @on("tiny_bn")
    def test_a_shard_has_its_own_statistics_and_masks(self, subject: Subject) -> None:
        """Three shards a batch, some of other sizes than others and some without images.

        An update adds the gradients of all shards of two batches, clipped after that; running
        statistics are the mean over the shards that have images. A layer that is frozen keeps its
        statistics, to the bit.
        """
        assert subject.backend.divides_batches
        plan = replace(PLAN, shards=SHARDS)
        learner = learner_with_dropout(subject, plan)
        reference = reference_with_dropout(subject, plan)
        assert_same_updates(learner, reference, updates("shards", [[5, 4], [2, 5], [4]]))
        freeze, before = FreezePlan(BACKBONE), in_bytes(learner.state())
        learner.trainer.freeze(freeze)
        reference.freeze(freeze)
        assert_same_updates(learner, reference, updates("frozen", [[5, 2]], first=5))
        after = in_bytes(learner.state())
        assert all(after[name] == before[name] for name in (*BACKBONE, *STATISTICS))

    @on("tiny_dropout")
    def test_masks_differ_between_shards(self, subject: Subject) -> None:
        """A layer drops by its seed of the step and the shard, from the shard's first image on."""
        plan = TrainingPlan(
            AdamWSpec(name="adamw", weight_decay=0.1), seed=5, shards=2, averages=True
        )
        learner, reference = subject.learner(plan), subject.reference(plan)
        assert_same_updates(learner, reference, updates("masks", [[4], [3], [4]]))

    @on("linear")
    @pytest.mark.parametrize("loss", LOSSES)
    def test_an_update_is_that_of_the_undivided_batch(
        self, subject: Subject, loss: LossName
    ) -> None:
        """Shards count by their images, or by what these weigh, in a batch of fewer images too.

        The images are mixed: with class weights, their labels decide what they weigh.
        """
        plan = replace(weighted(loss, WEIGHTS, accumulate=2), shards=SHARDS)
        learner, undivided = subject.learner(plan), subject.reference(replace(plan, shards=1))
        for number, sizes in enumerate([[5, 2], [4]]):
            data = [mixed(f"divided/{number}/{size}", size) for size in sizes]
            update = Update(data, 0.05, 2 * number)
            train_parts(learner, [update], plan, Division(SHARDS))
            with place_shown(learner, undivided, [update], plan):
                undivided.train_step(joined(data), 0.05, 0)
                assert_states_close(learner.state(), undivided.state)
                assert_states_close(learner.optimizer_state(), undivided.optimizer_state())

    @on("tiny_bn")
    def test_batch_norm_refuses_a_shard_of_one_value(self, subject: Subject) -> None:
        """Two images with maps of 1 x 1 in two shards: ``TrainingError``, and nothing changes."""
        plan = TrainingPlan(SGDSpec(momentum=0.9), shards=2)
        learner, update = subject.learner(plan), Update([batch("two", 2, side=1)], 0.1, 0)
        before = in_bytes(learner.state())
        with pytest.raises(TrainingError, match="'bn' gets one value per channel"):
            train_parts(learner, [update], plan, Division(2))
        assert in_bytes(learner.state()) == before

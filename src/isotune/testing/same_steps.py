"""Makes the same training steps with a backend and with the reference, and compares all results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isotune.interfaces.dataset import Batch
from isotune.interfaces.division import Division
from isotune.interfaces.trainer import HostOutputs
from isotune.testing.divided import Computed, Update, train_parts
from isotune.testing.places import place_shown
from isotune.testing.reference.trainer import ReferenceTrainer, ShardPass
from isotune.testing.subject import (
    LATER_LOGITS,
    Learner,
    assert_close,
    assert_states_close,
    step_plans,
)


def assert_same_steps(
    learner: Learner,
    reference: ReferenceTrainer,
    batches: Sequence[Batch],
    rates: Sequence[float],
    first: int = 0,
    momenta: Sequence[float | None] | None = None,
) -> list[HostOutputs]:
    """Trains both and compares logits, losses, norms, states, optimizer states and averages.

    Returns the outputs.
    """
    averages = reference.plan.averages
    plans = step_plans(rates, first, momenta, averages)
    updates = [
        Update([one], plan.learning_rate, plan.step, plan.momentum, plan.average_decay)
        for one, plan in zip(batches, plans, strict=True)
    ]
    outputs = learner.train(batches, rates, first, momenta, averages)
    with place_shown(learner, reference, updates):
        for one, plan, output in zip(batches, plans, outputs, strict=True):
            logits, loss = reference.train_step(
                one, plan.learning_rate, plan.step, plan.momentum, plan.average_decay
            )
            assert_close(output.logits, logits, LATER_LOGITS)
            assert_close(output.loss, loss)
            assert_close(output.grad_norm, reference.grad_norm)
        _assert_same_states(learner, reference)
    return outputs


def assert_same_updates(
    learner: Learner, reference: ReferenceTrainer, updates: Sequence[Update]
) -> None:
    """Makes divided updates in one process, and compares everything with the reference."""
    plan = reference.plan
    computed = train_parts(learner, updates, plan, Division(plan.shards))
    with place_shown(learner, reference, updates):
        assert_same_outputs(computed, reference, updates)
        _assert_same_states(learner, reference)


def assert_same_outputs(
    computed: Sequence[Computed], reference: ReferenceTrainer, updates: Sequence[Update]
) -> None:
    """Makes the reference's updates and compares their results.

    Args:
        computed: Those of all processes, by step and part.
        reference: Moves on.
        updates: The updates that the steps belong to.
    """
    for update in updates:
        passes = reference.train_update(
            update.batches, update.rate, update.step, update.momentum, update.decay
        )
        for number, shards in enumerate(passes, update.step):
            own = [each for each in computed if each[0].plan.step == number]
            _assert_same_shards(own, shards)
            for step, outputs in own:
                expected = reference.grad_norm if step.plan.apply_update else np.nan
                assert_close(outputs.grad_norm, expected)


def _assert_same_states(learner: Learner, reference: ReferenceTrainer) -> None:
    assert_states_close(learner.state(), reference.state)
    assert_states_close(learner.optimizer_state(), reference.optimizer_state())
    if reference.plan.averages:
        assert_states_close(learner.average(), reference.averages)


def _assert_same_shards(computed: Sequence[Computed], shards: Sequence[ShardPass]) -> None:
    """Compares the parts of a batch with the shards that have images."""
    parts = dict[int, list[Computed]]()
    for step, outputs in computed:
        if len(step.part):
            parts.setdefault(step.part.shard, []).append((step, outputs))
    for own, shard in zip(parts.values(), shards, strict=True):
        logits = np.concatenate([outputs.logits for _, outputs in own])
        assert_close(logits, shard.logits, LATER_LOGITS)
        loss = sum(outputs.loss * step.weight for step, outputs in own)
        assert_close(loss / shard.weight, shard.loss)

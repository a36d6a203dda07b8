"""Several batches make one update, as one larger batch would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contract.subject import Learner, Subject, assert_close, assert_states_close, in_bytes
from contract.test_optimizers import REGULARISED, WEIGHTS
from contract.values import NORMALIZATION, batches
from isotune.interfaces.dataset import Batch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import HostOutputs, StepPlan, TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.training.micro_batches import MicroBatch, micro_batches

SIZES = [4, 4, 4, 4, 3]
EVERY = 3
BIAS = FreezePlan(frozenset({"fc.bias"}))


def accumulate(
    learner: Learner, data: list[Batch], micro: list[MicroBatch], rate: float
) -> list[HostOutputs]:
    fed = learner.backend.dataset.feed(data, NORMALIZATION)
    steps = [
        learner.trainer.train_step(batch, StepPlan(step, rate, part.loss_scale, part.apply_update))
        for step, (batch, part) in enumerate(zip(fed, micro, strict=True))
    ]
    return learner.trainer.fetch(steps)


def joined(data: list[Batch]) -> Batch:
    return Batch(
        np.concatenate([batch.images for batch in data]),
        np.concatenate([batch.labels for batch in data]),
    )


@pytest.mark.nets("linear")
@pytest.mark.parametrize("name", ["nesterov", "adam", "adamw"])
def test_an_update_is_that_of_one_larger_batch(subject: Subject, name: str) -> None:
    plan = REGULARISED[name]
    learner = subject.learner(replace(plan, accumulate=EVERY))
    reference = subject.reference(plan)
    for epoch in range(2):
        data = batches(f"accumulation/{epoch}", SIZES)
        micro = micro_batches([batch.labels for batch in data], EVERY, plan.class_weights)
        outputs = accumulate(learner, data, micro, 0.02)
        for cut in (slice(0, EVERY), slice(EVERY, None)):
            logits, _ = reference.train_step(joined(data[cut]), 0.02, 0)
            assert_close(np.concatenate([o.logits for o in outputs[cut]]), logits, 1e-4)
        assert_states_close(learner.state(), reference.state)
        assert_states_close(learner.optimizer_state(), reference.optimizer_state())


@pytest.mark.nets("tiny_bn", "tiny_dropout")
def test_nothing_but_statistics_moves_before_the_update(subject: Subject) -> None:
    plan = TrainingPlan(SGDSpec(momentum=0.9), class_weights=WEIGHTS, accumulate=2)
    learner = subject.learner(plan, BIAS)
    data = batches("accumulation", [4, 4, 4])
    before = in_bytes(learner.state())
    micro = [MicroBatch(0, 0.5, False), MicroBatch(0, 0.5), MicroBatch(2)]
    accumulate(learner, data[:1], micro[:1], 0.1)
    learner.evaluate(data[0])
    moved = {name for name, value in in_bytes(learner.state()).items() if value != before[name]}
    assert all(name.startswith("bn.running_") for name in moved)
    assert not learner.optimizer_state()
    again = subject.learner(plan, BIAS)
    assert accumulate(learner, data[1:], micro[1:], 0.1)
    assert in_bytes(learner.state())["fc.weight"] != before["fc.weight"]
    assert in_bytes(learner.state())["fc.bias"] == before["fc.bias"]
    accumulate(again, data[:1], micro[:1], 0.1)
    fed = list(again.backend.dataset.feed(data[1:], NORMALIZATION))
    again.trainer.train_step(fed[0], StepPlan(0, 0.1, 0.5))
    again.trainer.train_step(fed[1], StepPlan(1, 0.1))
    assert in_bytes(again.state()) == in_bytes(learner.state())

"""Losses and update rules are PyTorch's, by an independent implementation in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contract.subject import Subject, assert_same_steps
from contract.values import batches
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, SGDSpec

WEIGHTS = np.array([0.5, 2.0, 1.25], dtype=np.float32)
STEPS = 20
PLANS = {
    "sgd": TrainingPlan(SGDSpec()),
    "momentum": TrainingPlan(SGDSpec(momentum=0.9)),
    "nesterov": TrainingPlan(SGDSpec(momentum=0.9, nesterov=True)),
    "adam": TrainingPlan(AdamSpec(name="adam")),
    "adamw": TrainingPlan(AdamWSpec(name="adamw", weight_decay=0.0)),
}
REGULARISED = {
    "sgd": TrainingPlan(SGDSpec(weight_decay=0.1), label_smoothing=0.1),
    "momentum": TrainingPlan(SGDSpec(momentum=0.9, weight_decay=0.1), label_smoothing=0.1),
    "nesterov": TrainingPlan(
        SGDSpec(momentum=0.8, nesterov=True, weight_decay=0.1),
        label_smoothing=0.2,
        class_weights=WEIGHTS,
    ),
    "adam": TrainingPlan(
        AdamSpec(name="adam", betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1), label_smoothing=0.1
    ),
    "adamw": TrainingPlan(
        AdamWSpec(name="adamw", betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1),
        class_weights=WEIGHTS,
    ),
}


def slower(name: str) -> TrainingPlan:
    """Returns a plan whose convolution learns at half the rate and whose BatchNorm at a fifth."""
    return replace(REGULARISED[name], lr_scales={"conv": 0.5, "bn": 0.2, "fc": 1.0})


def rates(optimizer: OptimizerSpec) -> list[float]:
    """Returns a learning rate that differs at each step."""
    base = 0.05 if isinstance(optimizer, SGDSpec) else 0.01
    return [base * (1 - 0.04 * step) for step in range(STEPS)]


def check(subject: Subject, plan: TrainingPlan) -> None:
    learner, reference = subject.learner(plan), subject.reference(plan)
    data = batches("optimizers", [4] * STEPS)
    assert_same_steps(learner, reference, data, rates(plan.optimizer))


@pytest.mark.nets("linear")
@pytest.mark.parametrize("name", PLANS)
def test_update_rule(subject: Subject, name: str) -> None:
    check(subject, PLANS[name])


@pytest.mark.nets("linear")
@pytest.mark.parametrize("name", REGULARISED)
def test_update_rule_with_decay_smoothing_and_class_weights(subject: Subject, name: str) -> None:
    check(subject, REGULARISED[name])


@pytest.mark.nets("tiny_bn", "tiny_dropout")
def test_gradients_through_every_layer(subject: Subject) -> None:
    check(subject, REGULARISED["momentum"])


@pytest.mark.nets("tiny_bn")
@pytest.mark.parametrize("name", REGULARISED)
def test_each_part_has_its_own_learning_rate(subject: Subject, name: str) -> None:
    plan = slower(name)
    learner, reference = subject.learner(plan), subject.reference(plan)
    data = batches("rates", [4] * 4)
    assert_same_steps(learner, reference, data, rates(plan.optimizer)[:4])

"""Frozen means frozen; unfreezing takes effect, in compiled steps too."""

from __future__ import annotations

import pytest

from contract.nets import SHAPES
from contract.subject import Learner, Subject, assert_close, assert_same_steps, in_bytes
from contract.values import batches
from isotune.errors import BackendError
from isotune.interfaces.freezing import BatchNormMode, FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import AdamSpec, OptimizerSpec, SGDSpec

MOMENTUM = SGDSpec(momentum=0.9)
RATES = [0.1, 0.05, 0.1]
BACKBONE = frozenset({"conv.weight", "bn.weight", "bn.bias"})
STATISTICS = {"bn.running_mean", "bn.running_var"}


def changed(learner: Learner, subject: Subject) -> set[str]:
    before, after = in_bytes(subject.initial()), in_bytes(learner.state())
    return {name for name in before if before[name] != after[name]}


@pytest.mark.nets("linear")
@pytest.mark.parametrize("frozen", ["fc.weight", "fc.bias"])
def test_frozen_parameter_keeps_its_bytes_though_it_would_decay(
    subject: Subject, frozen: str
) -> None:
    plan, freeze = TrainingPlan(SGDSpec(weight_decay=0.1)), FreezePlan(frozenset({frozen}))
    learner = subject.learner(plan, freeze)
    assert_same_steps(learner, subject.reference(plan, freeze), batches("one", [4] * 3), RATES)
    assert changed(learner, subject) == {"fc.weight", "fc.bias"} - {frozen}


@pytest.mark.nets("tiny_bn")
@pytest.mark.parametrize(
    ("frozen", "mode", "kept"),
    [
        (BACKBONE, "eval", BACKBONE | STATISTICS),
        (BACKBONE, "train", BACKBONE),
        (frozenset({"bn.weight", "bn.bias"}), "eval", {"bn.weight", "bn.bias"} | STATISTICS),
        (frozenset({"conv.weight", "bn.bias"}), "eval", {"conv.weight", "bn.bias"}),
        (frozenset(), "eval", set()),
    ],
    ids=["backbone", "backbone-bn-trains", "bn-alone", "half-a-bn", "nothing"],
)
def test_batch_norm_is_frozen_with_its_parameters(
    subject: Subject, frozen: frozenset[str], mode: BatchNormMode, kept: set[str]
) -> None:
    plan, freeze = TrainingPlan(MOMENTUM), FreezePlan(frozen, mode)
    learner = subject.learner(plan, freeze)
    assert_same_steps(learner, subject.reference(plan, freeze), batches("bn", [4] * 3), RATES)
    assert changed(learner, subject) == SHAPES["tiny_bn"].keys() - kept


@pytest.mark.nets("tiny_bn")
@pytest.mark.parametrize("optimizer", [MOMENTUM, AdamSpec(name="adam")], ids=["sgd", "adam"])
def test_a_plan_may_change_between_steps(subject: Subject, optimizer: OptimizerSpec) -> None:
    plan = TrainingPlan(optimizer)
    learner, reference = subject.learner(plan), subject.reference(plan)
    for phase, frozen in enumerate([BACKBONE, frozenset[str](), BACKBONE, {"fc.weight"}]):
        freeze = FreezePlan(frozenset(frozen))
        learner.trainer.freeze(freeze)
        reference.freeze(freeze)
        data = batches(f"phase {phase}", [4] * 3)
        assert_same_steps(learner, reference, data, [0.01, 0.005, 0.01], first=3 * phase)


@pytest.mark.nets("tiny_bn")
def test_evaluation_in_between_wakes_no_frozen_batch_norm(subject: Subject) -> None:
    plan, freeze = TrainingPlan(MOMENTUM), FreezePlan(BACKBONE)
    learner, reference = subject.learner(plan, freeze), subject.reference(plan, freeze)
    for step, one in enumerate(batches("awake", [4] * 3)):
        assert_same_steps(learner, reference, [one], [0.1], first=step)
        assert_close(learner.evaluate(one), reference.eval_step(one))
    assert changed(learner, subject) == {"fc.weight", "fc.bias"}


@pytest.mark.nets("linear")
def test_freezing_drops_the_optimizer_state_and_keeps_that_of_others(subject: Subject) -> None:
    learner = subject.learner(TrainingPlan(MOMENTUM))
    learner.train(batches("momentum", [4] * 3), RATES)
    before = learner.optimizer_state()
    learner.trainer.freeze(FreezePlan(frozenset({"fc.weight"})))
    kept = {"fc.bias/momentum_buffer": before["fc.bias/momentum_buffer"]}
    assert in_bytes(learner.optimizer_state()) == in_bytes(kept)


@pytest.mark.nets("linear", "tiny_bn")
def test_unknown_name_is_an_error_with_a_hint(subject: Subject) -> None:
    learner, plan = subject.learner(), FreezePlan(frozenset({"fc.wieght"}))
    with pytest.raises(BackendError, match=r"fc\.wieght.*fc\.weight"):
        learner.trainer.freeze(plan)
    with pytest.raises(BackendError, match=r"fc\.wieght.*fc\.weight"):
        subject.backend.freezing.apply(learner.model, plan)

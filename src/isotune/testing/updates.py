"""Losses and update rules are PyTorch's, by an independent implementation in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from isotune.interfaces.dataset import Batch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import HostOutputs, StepPlan, TrainingPlan
from isotune.models.head import new_head
from isotune.spec.head import LinearHeadSpec
from isotune.spec.loss import LossName
from isotune.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, SGDSpec
from isotune.testing.contract import Contract, on
from isotune.testing.divided import Update
from isotune.testing.places import place_shown
from isotune.testing.same_steps import assert_same_steps
from isotune.testing.subject import Learner, Subject, assert_close, assert_states_close, in_bytes
from isotune.testing.values import NORMALIZATION, batch, batches
from isotune.training.micro_batches import micro_batches

WEIGHTS = np.array([0.5, 2.0, 1.25], dtype=np.float32)
STEPS = 20
PLANS = {
    "sgd": TrainingPlan(SGDSpec()),
    "momentum": TrainingPlan(SGDSpec(momentum=0.9)),
    "nesterov": TrainingPlan(SGDSpec(momentum=0.9, nesterov=True)),
    "adam": TrainingPlan(AdamSpec(name="adam")),
    "adamw": TrainingPlan(AdamWSpec(name="adamw", weight_decay=0.0)),
}
REGULARIZED = {
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
BINARY = {
    "plain": TrainingPlan(SGDSpec(momentum=0.9), loss="binary_cross_entropy"),
    "smoothed": TrainingPlan(SGDSpec(), loss="binary_cross_entropy", label_smoothing=0.2),
    "weighted": TrainingPlan(
        SGDSpec(),
        loss="binary_cross_entropy",
        label_smoothing=0.1,
        class_weights=np.array([0.5, 2.0], np.float32),
    ),
}
LARGEST = {"tiny_bn": 0.45, "tiny_dropout": 6.0}
"""Norms that the gradients of some steps on these nets exceed."""

SIZES = [4, 4, 4, 4, 3]
EVERY = 3
BIAS = FreezePlan(frozenset({"fc.bias"}))


def learning_rates(optimizer: OptimizerSpec, steps: int = STEPS) -> list[float]:
    """Returns a learning rate that differs at each step."""
    base = 0.05 if isinstance(optimizer, SGDSpec) else 0.01
    return [base * (1 - 0.04 * step) for step in range(steps)]


def accumulate(
    learner: Learner, data: Sequence[Batch], plans: Sequence[StepPlan]
) -> list[HostOutputs]:
    """Makes one step a batch and fetches all outputs at the end."""
    fed = learner.backend.dataset.feed(data, NORMALIZATION)
    steps = [learner.trainer.train_step(*each) for each in zip(fed, plans, strict=True)]
    return learner.trainer.fetch(steps)


def joined(data: Sequence[Batch]) -> Batch:
    """Returns one larger batch."""
    return Batch(
        np.concatenate([each.images for each in data]),
        np.concatenate([each.labels for each in data]),
    )


class Updates(Contract):
    """The half of the first level that is about losses, optimizers and accumulation."""

    @on("linear")
    @pytest.mark.parametrize("name", PLANS)
    def test_update_rule(self, subject: Subject, name: str) -> None:
        """Twenty steps of each optimizer with its usual constants."""
        self._check(subject, PLANS[name])

    @on("linear")
    @pytest.mark.parametrize("name", REGULARIZED)
    def test_update_rule_with_decay_smoothing_and_class_weights(
        self, subject: Subject, name: str
    ) -> None:
        """The same with weight decay, label smoothing, class weights, and other constants.

        In half of the steps the schedule decides the momentum.
        """
        plan = REGULARIZED[name]
        momenta = [None if i % 2 else 0.95 - 0.01 * i for i in range(STEPS)]
        self._check(subject, plan, momenta=momenta if plan.optimizer.slots else None)

    @on("tiny_bn", "tiny_dropout")
    def test_gradients_through_every_layer(self, subject: Subject) -> None:
        """Convolution, BatchNorm, ReLU, pooling, dropout and linear layers, for twenty steps.

        Some of the updates have gradients that are clipped, and others do not; parameters and
        statistics are averaged.
        """
        largest, plan = LARGEST[subject.entry.name], REGULARIZED["momentum"]
        outputs = self._check(subject, replace(plan, clip_grad_norm=largest, averages=True))
        norms = [each.grad_norm for each in outputs]
        assert min(norms) < 0.9 * largest < 1.1 * largest < max(norms)

    @on("tiny_bn")
    @pytest.mark.parametrize("name", REGULARIZED)
    def test_each_part_has_its_own_learning_rate(self, subject: Subject, name: str) -> None:
        """``TrainingPlan.lr_scales`` multiply the learning rate, and AdamW's decay with it.

        Norms and biases have no decay where the optimizer says so.
        """
        plan = REGULARIZED[name]
        optimizer = plan.optimizer.model_copy(update={"no_decay": "norms_and_biases"})
        scales = {"conv": 0.5, "bn": 0.2, "fc": 1.0}
        self._check(subject, replace(plan, optimizer=optimizer, lr_scales=scales), steps=4)

    @on("linear")
    @pytest.mark.parametrize("name", BINARY)
    def test_single_output(self, subject: Subject, name: str) -> None:
        """A head of one output tells two classes apart by binary cross entropy."""
        head, plan = new_head(LinearHeadSpec(outputs="single"), 5, 192, 2), BINARY[name]
        data = [batch(f"single/{i}", 4, classes=2) for i in range(4)]
        learner, reference = subject.learner_with(head, plan), subject.reference(plan)
        reference.state = {key: value.astype(np.float64) for key, value in head.state("fc").items()}
        assert learner.evaluate(data[0]).shape == (4, 1)
        assert_same_steps(learner, reference, data, learning_rates(plan.optimizer, 4))

    @on("linear")
    def test_binary_cross_entropy_with_an_output_per_class(self, subject: Subject) -> None:
        """With several outputs it is the mean over them, weighted by the label's class."""
        plan = replace(BINARY["weighted"], class_weights=WEIGHTS)
        data = batches("per class", [4, 3, 4, 4])
        rates = learning_rates(plan.optimizer, 4)
        assert_same_steps(subject.learner(plan), subject.reference(plan), data, rates)

    @on("linear")
    @pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
    def test_extreme_logits(self, subject: Subject, loss: LossName) -> None:
        """Logits whose exponentials overflow float32 have finite losses and gradients."""
        plan = TrainingPlan(SGDSpec(), loss=loss, label_smoothing=0.1, class_weights=WEIGHTS)
        learner, reference = subject.learner(plan), subject.reference(plan)
        bias = np.array([200, -200, 0], np.float32)
        state = {**subject.initial(), "fc.bias": bias}
        subject.backend.state_adapter.import_model(learner.model, state)
        reference.state["fc.bias"] = bias.astype(np.float64)
        assert_same_steps(learner, reference, batches("extreme", [4, 4]), [0.1, 0.1])

    @on("linear")
    @pytest.mark.parametrize("name", ["nesterov", "adam", "adamw"])
    def test_an_update_is_that_of_one_larger_batch(self, subject: Subject, name: str) -> None:
        """Gradients that are scaled and summed over batches make the update of all of them.

        Their sum is what is clipped.
        """
        plan = replace(REGULARIZED[name], clip_grad_norm=3.5)
        learner = subject.learner(replace(plan, accumulate=EVERY))
        reference = subject.reference(plan)
        for epoch in range(2):
            data = batches(f"accumulation/{epoch}", SIZES)
            micro = micro_batches([each.labels for each in data], EVERY, plan)
            plans = [
                StepPlan(step, 0.02, each.loss_scale, each.apply_update)
                for step, each in enumerate(micro)
            ]
            outputs = accumulate(learner, data, plans)
            updates = [Update(data[:EVERY], 0.02, 0), Update(data[EVERY:], 0.02, EVERY)]
            with place_shown(learner, reference, updates):
                for cut in (slice(0, EVERY), slice(EVERY, None)):
                    logits, _ = reference.train_step(joined(data[cut]), 0.02, 0)
                    assert_close(np.concatenate([o.logits for o in outputs[cut]]), logits, 1e-4)
                    norms = [each.grad_norm for each in outputs[cut]]
                    assert_close(norms, [*[np.nan] * (len(norms) - 1), reference.grad_norm])
                assert_states_close(learner.state(), reference.state)
                assert_states_close(learner.optimizer_state(), reference.optimizer_state())

    @on("linear")
    def test_the_loss_that_is_returned_is_not_scaled(self, subject: Subject) -> None:
        """``loss_scale`` multiplies the gradients alone: the loss is the batch's mean."""
        data, plan = batches("scale", [4, 4]), TrainingPlan(SGDSpec(), accumulate=2)
        plans = [StepPlan(0, 0.1, 0.25, False), StepPlan(1, 0.1, 0.75)]
        outputs = accumulate(subject.learner(plan), data, plans)
        for output, each in zip(outputs, data, strict=True):
            assert_close(output.loss, subject.reference().train_step(each, 0.1, 0)[1])

    @on("tiny_bn", "tiny_dropout")
    def test_nothing_but_statistics_moves_before_the_update(self, subject: Subject) -> None:
        """A step without an update leaves parameters and averages alone, and nothing behind."""
        plan = TrainingPlan(
            SGDSpec(momentum=0.9), class_weights=WEIGHTS, accumulate=2, averages=True
        )
        learner, again = subject.learner(plan, BIAS), subject.learner(plan, BIAS)
        data = batches("accumulation", [4, 4, 4])
        before = in_bytes(learner.state())
        first, *rest = [
            StepPlan(0, 0.1, 0.5, False),
            StepPlan(0, 0.1, 0.5, average_decay=0.25),
            StepPlan(1, 0.1, average_decay=0.5),
        ]
        accumulate(learner, data[:1], [first])
        learner.evaluate(data[0])
        moved = {name for name, value in in_bytes(learner.state()).items() if value != before[name]}
        assert all(name.startswith("bn.running_") for name in moved)
        assert not learner.optimizer_state()
        assert in_bytes(learner.average()) == before
        accumulate(learner, data[1:2], rest[:1])
        start, state = subject.initial(), learner.state()
        moved_by = {name: 0.25 * start[name] + 0.75 * value for name, value in state.items()}
        assert_states_close(learner.average(), moved_by)
        accumulate(learner, data[2:], rest[1:])
        after = in_bytes(learner.state())
        assert after["fc.weight"] != before["fc.weight"]
        assert after["fc.bias"] == before["fc.bias"]
        accumulate(again, data[:1], [first])
        accumulate(again, data[1:], rest)
        assert in_bytes(again.state()) == after

    def _check(
        self,
        subject: Subject,
        plan: TrainingPlan,
        steps: int = STEPS,
        momenta: Sequence[float | None] | None = None,
    ) -> list[HostOutputs]:
        learner, reference = subject.learner(plan), subject.reference(plan)
        data = batches("optimizers", [4] * steps)
        rates = learning_rates(plan.optimizer, steps)
        return assert_same_steps(learner, reference, data, rates, momenta=momenta)

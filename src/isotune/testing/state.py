"""Level three: state leaves a backend as NumPy and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, SGDSpec
from isotune.testing.contract import Contract, on
from isotune.testing.same_steps import assert_same_steps
from isotune.testing.subject import Learner, Subject, in_bytes
from isotune.testing.values import batch, batches

MOMENTUM = SGDSpec(momentum=0.9, weight_decay=0.01)
RATES = [0.05, 0.04, 0.03, 0.02, 0.05, 0.01]
SLOTS: dict[str, tuple[OptimizerSpec, set[str]]] = {
    "sgd": (SGDSpec(), set()),
    "momentum": (MOMENTUM, {"momentum_buffer"}),
    "adam": (AdamSpec(name="adam"), {"exp_avg", "exp_avg_sq", "step"}),
    "adamw": (AdamWSpec(name="adamw"), {"exp_avg", "exp_avg_sq", "step"}),
}
"""Optimizers with the slots that each parameter has."""


def resumed(
    subject: Subject,
    plan: TrainingPlan,
    model: Mapping[str, NDArray[Any]],
    optimizer: Mapping[str, NDArray[Any]],
    average: Mapping[str, NDArray[Any]] | None = None,
) -> Learner:
    """Returns a new model with a trainer that goes on from saved states."""
    learner = subject.learner(plan)
    subject.backend.state_adapter.import_model(learner.model, model)
    subject.backend.state_adapter.import_optimizer(learner.trainer, optimizer)
    if average is not None:
        subject.backend.state_adapter.import_average(learner.trainer, average)
    return learner


class State(Contract):
    """Level three: state is portable and resuming exact. Needs ``linear`` and ``tiny_bn``."""

    @on("linear", "tiny_bn")
    def test_state_survives_a_round_trip_through_a_trained_model(self, subject: Subject) -> None:
        """An exported state is a copy, brings the model back bit for bit, and is copied then."""
        adapter, learner = subject.backend.state_adapter, subject.learner()
        learner.train([batch("before", 4)], [0.1])
        saved = learner.state()
        kept = in_bytes(saved)
        expected = learner.evaluate(batch("eval", 3))
        learner.train([batch("after", 4)], [0.5], first=1)
        assert in_bytes(saved) == kept  # copies, no views
        assert in_bytes(learner.state()) != kept
        adapter.import_model(learner.model, saved)
        assert in_bytes(learner.state()) == kept
        assert learner.evaluate(batch("eval", 3)).tobytes() == expected.tobytes()
        learner.train([batch("after", 4)], [0.5], first=1)
        assert in_bytes(saved) == kept

    @on("linear")
    def test_imported_state_is_what_trains_next(self, subject: Subject) -> None:
        """A model that was trained already and then imported trains like a new one."""
        learner, fresh = subject.learner(), subject.learner()
        learner.train(batches("first", [4, 4]), [0.1, 0.1])
        subject.backend.state_adapter.import_model(learner.model, subject.initial())
        same = batches("second", [4])
        assert learner.train(same, [0.2])[0].loss == fresh.train(same, [0.2])[0].loss
        assert in_bytes(learner.state()) == in_bytes(fresh.state())

    @on("linear")
    @pytest.mark.parametrize("name", SLOTS)
    def test_optimizer_state_has_pytorch_names_and_shapes(
        self, subject: Subject, name: str
    ) -> None:
        """Optimizer state is ``PARAMETER/SLOT`` of what trains, and a copy."""
        optimizer, slots = SLOTS[name]
        learner = subject.learner(TrainingPlan(optimizer), FreezePlan(frozenset({"fc.bias"})))
        assert learner.optimizer_state() == {}
        learner.train(batches("slots", [4, 4]), [0.01, 0.01])
        exported = learner.optimizer_state()
        assert exported.keys() == {f"fc.weight/{slot}" for slot in slots}
        for key, value in exported.items():
            assert value.dtype == "float32"
            assert value.shape == (() if key.endswith("/step") else (3, 192))
        if "step" in slots:
            assert exported["fc.weight/step"] == 2
        kept = in_bytes(exported)
        learner.train(batches("more slots", [4]), [0.01], first=2)
        assert in_bytes(exported) == kept

    @on("tiny_bn", "linear")
    @pytest.mark.parametrize("name", ["momentum", "adamw"])
    def test_resumed_training_has_the_bytes_of_training_never_stopped(
        self, subject: Subject, name: str
    ) -> None:
        """Exact resume: model, optimizer state and averages are everything there is."""
        plan = TrainingPlan(SLOTS[name][0], averages=True)
        data = batches("resume", [4] * 6)
        straight = subject.learner(plan)
        straight.train(data[:3], RATES[:3], averages=True)
        saved, average = straight.optimizer_state(), straight.average()
        kept = in_bytes(saved), in_bytes(average)
        second = resumed(subject, plan, straight.state(), saved, average)
        second.evaluate_average(data[0])
        for learner in (straight, second):
            learner.train(data[3:], RATES[3:], first=3, averages=True)
        assert in_bytes(second.state()) == in_bytes(straight.state())
        assert in_bytes(second.optimizer_state()) == in_bytes(straight.optimizer_state())
        assert in_bytes(second.average()) == in_bytes(straight.average())
        assert (in_bytes(saved), in_bytes(average)) == kept

    @on("tiny_bn")
    def test_the_average_is_evaluated_and_training_goes_on(self, subject: Subject) -> None:
        """``swap_average`` gives the model its averages and back, for steps that exist already."""
        plan = TrainingPlan(MOMENTUM, averages=True)
        data, rates = batches("average", [4] * 6), RATES
        learner, reference = subject.learner(plan), subject.reference(plan)
        for cut in (slice(0, 3), slice(3, None)):
            assert_same_steps(learner, reference, data[cut], rates[cut], cut.start)
            plain, state, average = (
                learner.evaluate(data[0]),
                in_bytes(learner.state()),
                learner.average(),
            )
            found = learner.evaluate_average(data[0])
            fresh = subject.learner()
            subject.backend.state_adapter.import_model(fresh.model, average)
            assert found.tobytes() == fresh.evaluate(data[0]).tobytes()
            assert found.tobytes() != plain.tobytes()
            assert learner.evaluate(data[0]).tobytes() == plain.tobytes()
            assert in_bytes(learner.state()) == state
            assert in_bytes(learner.average()) == in_bytes(average)

    @on("linear")
    def test_without_averages_there_are_none(self, subject: Subject) -> None:
        """Nothing is exchanged and nothing exported, before and after steps."""
        learner = subject.learner()
        learner.train(batches("plain", [4]), [0.1])
        before = in_bytes(learner.state())
        learner.trainer.swap_average()
        assert in_bytes(learner.state()) == before
        assert subject.backend.state_adapter.export_average(learner.trainer) == {}

    @on("linear")
    @pytest.mark.parametrize("name", ["momentum", "adam"])
    def test_training_that_began_elsewhere_goes_on(self, subject: Subject, name: str) -> None:
        """Model and optimizer state that the reference has written continue as in the reference."""
        plan, data = TrainingPlan(SLOTS[name][0]), batches("crossing", [4] * 6)
        reference = subject.reference(plan)
        for step, (one, rate) in enumerate(zip(data[:3], RATES[:3], strict=True)):
            reference.train_step(one, rate, step)
        model, optimizer = (
            {key: np.asarray(value, np.float32) for key, value in state.items()}
            for state in (reference.state, reference.optimizer_state())
        )
        learner = resumed(subject, plan, model, optimizer)
        assert_same_steps(learner, reference, data[3:], RATES[3:], first=3)

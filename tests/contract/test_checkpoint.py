"""State leaves a backend as NumPy and comes back, into any backend."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest

from contract.installed import subjects
from contract.nets import SHAPES
from contract.subject import Learner, Subject, assert_states_close, in_bytes
from contract.truth import TRUTH, WITH_LOGITS, signature
from contract.values import batch, batches, state
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, SGDSpec

MOMENTUM = SGDSpec(momentum=0.9, weight_decay=0.01)
RATES = [0.05, 0.04, 0.03, 0.02, 0.05, 0.01]
SLOTS: dict[str, tuple[OptimizerSpec, set[str]]] = {
    "sgd": (SGDSpec(), set()),
    "momentum": (MOMENTUM, {"momentum_buffer"}),
    "adam": (AdamSpec(name="adam"), {"exp_avg", "exp_avg_sq", "step"}),
    "adamw": (AdamWSpec(name="adamw"), {"exp_avg", "exp_avg_sq", "step"}),
}


def shapes(model_state: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in model_state.items()}


@pytest.mark.nets(*WITH_LOGITS)
def test_names_and_shapes_of_the_catalogue(subject: Subject) -> None:
    found = subject.backend.checkpoints.model_shapes(subject.model())
    assert signature(found) == TRUTH[subject.entry.name]["signature"]


@pytest.mark.nets("alexnet", "efficientnet_lite0", "lenet", "mobilenet_v2", "resnet50")
def test_values_of_the_catalogue(subject: Subject) -> None:
    checkpoints, model = subject.backend.checkpoints, subject.model()
    values = state(shapes(checkpoints.export_model(model)), seed=1)
    checkpoints.import_model(model, values)
    assert in_bytes(checkpoints.export_model(model)) == in_bytes(values)
    exported = shapes(checkpoints.export_model(model))
    assert list(checkpoints.model_shapes(model).items()) == list(exported.items())


@pytest.mark.nets(*SHAPES)
def test_names_and_shapes_of_an_adopted_model(subject: Subject) -> None:
    assert (
        shapes(subject.backend.checkpoints.export_model(subject.model()))
        == (SHAPES[subject.entry.name])
    )


@pytest.mark.nets("linear", "tiny_bn")
def test_state_survives_a_round_trip_through_a_trained_model(subject: Subject) -> None:
    checkpoints, learner = subject.backend.checkpoints, subject.learner()
    learner.train([batch("before", 4)], [0.1])
    saved = learner.state()
    kept = in_bytes(saved)
    expected = learner.evaluate(batch("eval", 3))
    learner.train([batch("after", 4)], [0.5], first=1)
    assert in_bytes(saved) == kept  # copies, no views
    assert in_bytes(learner.state()) != kept
    checkpoints.import_model(learner.model, saved)
    assert in_bytes(learner.state()) == kept
    assert learner.evaluate(batch("eval", 3)).tobytes() == expected.tobytes()


@pytest.mark.nets("linear")
def test_imported_state_is_what_trains_next(subject: Subject) -> None:
    learner, fresh = subject.learner(), subject.learner()
    learner.train(batches("first", [4, 4]), [0.1, 0.1])
    subject.backend.checkpoints.import_model(learner.model, subject.initial())
    same = batches("second", [4])
    assert learner.train(same, [0.2])[0].loss == fresh.train(same, [0.2])[0].loss
    assert in_bytes(learner.state()) == in_bytes(fresh.state())


@pytest.mark.nets("linear")
@pytest.mark.parametrize("name", SLOTS)
def test_optimizer_state_has_pytorch_names_and_shapes(subject: Subject, name: str) -> None:
    optimizer, slots = SLOTS[name]
    learner = subject.learner(TrainingPlan(optimizer), FreezePlan(frozenset({"fc.bias"})))
    assert learner.optimizer_state() == {}
    learner.train(batches("slots", [4, 4]), [0.01, 0.01])
    found = learner.optimizer_state()
    assert found.keys() == {f"fc.weight/{slot}" for slot in slots}
    for key, value in found.items():
        assert value.dtype == "float32"
        assert value.shape == (() if key.endswith("/step") else (3, 192))
    if "step" in slots:
        assert found["fc.weight/step"] == 2


@pytest.mark.nets("tiny_bn", "linear")
@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_resumed_training_has_the_bytes_of_training_never_stopped(
    subject: Subject, name: str
) -> None:
    plan = TrainingPlan(SLOTS[name][0])
    data = batches("resume", [4] * 6)
    straight = subject.learner(plan)
    straight.train(data[:3], RATES[:3])
    second = resumed(subject, plan, straight.state(), straight.optimizer_state())
    for learner in (straight, second):
        learner.train(data[3:], RATES[3:], first=3)
    assert in_bytes(second.state()) == in_bytes(straight.state())
    assert in_bytes(second.optimizer_state()) == in_bytes(straight.optimizer_state())


def resumed(
    subject: Subject, plan: TrainingPlan, model_state: Any, optimizer_state: Any
) -> Learner:
    learner = subject.learner(plan)
    subject.backend.checkpoints.import_model(learner.model, model_state)
    subject.backend.checkpoints.import_optimizer(learner.trainer, optimizer_state)
    return learner


def pairs() -> Iterator[Any]:
    able = [subject for subject in subjects().values() if subject.entry.name == "linear"]
    for first, second in permutations(able, 2):
        yield pytest.param(first, second, id=f"{first.backend.name}-{second.backend.name}")


@pytest.mark.parametrize(("first", "second"), pairs())
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_one_backend_continues_what_another_began(
    first: Subject, second: Subject, name: str
) -> None:
    plan = TrainingPlan(SLOTS[name][0])
    data = batches("crossing", [4] * 6)
    began, reference = first.learner(plan), first.reference(plan)
    began.train(data[:3], RATES[:3])
    continued = resumed(second, plan, began.state(), began.optimizer_state())
    continued.train(data[3:], RATES[3:], first=3)
    for step, (one, rate) in enumerate(zip(data, RATES, strict=True)):
        reference.train_step(one, rate, step)
    assert_states_close(continued.state(), reference.state)
    assert_states_close(continued.optimizer_state(), reference.optimizer_state())

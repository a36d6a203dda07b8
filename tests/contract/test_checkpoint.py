"""State of catalogue backbones, and state that crosses from one backend to another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest

from contract.installed import subjects
from contract.truth import TRUTH, WITH_LOGITS, signature
from isotune.interfaces.trainer import TrainingPlan
from isotune.testing.state import RATES, SLOTS, resumed
from isotune.testing.subject import Subject, assert_states_close, in_bytes
from isotune.testing.values import batches, state


@pytest.mark.nets(*WITH_LOGITS)
def test_names_and_shapes_of_the_catalogue(subject: Subject) -> None:
    found = subject.backend.state_adapter.model_shapes(subject.model())
    assert signature(found) == TRUTH[subject.entry.name]["signature"]


@pytest.mark.nets("alexnet", "efficientnet_lite0", "lenet", "mobilenet_v2", "resnet50")
def test_values_of_the_catalogue(subject: Subject) -> None:
    checkpoints, model = subject.backend.state_adapter, subject.model()
    values = state(checkpoints.model_shapes(model), seed=1)
    checkpoints.import_model(model, values)
    assert in_bytes(checkpoints.export_model(model)) == in_bytes(values)
    exported = {k: v.shape for k, v in checkpoints.export_model(model).items()}
    assert list(checkpoints.model_shapes(model).items()) == list(exported.items())


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

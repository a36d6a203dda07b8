"""The head is the core's, bit for bit."""

from __future__ import annotations

import pytest

from contract.subject import Subject, in_bytes
from contract.values import batch, uniform
from isotune.errors import BackendError
from isotune.interfaces.head import HeadValues, LinearValues
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import SGDSpec

ALL = (
    "linear",
    "tiny_bn",
    "tiny_dropout",
    "lenet",
    "resnet18",
    "mobilenet_v2",
    "alexnet",
    "convnext_tiny",
    "squeezenet1_1",
)


def values(inputs: int, outputs: int = 7, convolutional: bool = False) -> HeadValues:
    weight, bias = uniform("w", (outputs, inputs), -1, 1), uniform("b", (outputs,), -1, 1)
    return HeadValues(LinearValues(weight, bias), convolutional=convolutional)


@pytest.mark.nets(*ALL)
def test_replaced_head_has_the_given_bytes_and_nothing_else_changes(subject: Subject) -> None:
    heads, export = subject.backend.heads, subject.backend.checkpoints.export_model
    model, path = subject.model(), subject.entry.classifier
    before = export(model)
    width = heads.in_features(model, path)
    assert before[f"{path}.weight"].shape[1] == width
    new = values(width, convolutional=subject.entry.convolutional)
    heads.replace(model, path, new)
    expected = {**before, **new.state(path)}
    assert in_bytes(export(model)) == in_bytes(expected)
    assert heads.in_features(model, path) == width


@pytest.mark.nets("linear")
def test_replaced_head_is_used_and_owns_its_values(subject: Subject) -> None:
    learner = subject.learner()
    new = values(192)
    subject.backend.heads.replace(learner.model, "fc", new)
    before = in_bytes(learner.state())
    new.output.weight[:] = 0
    assert in_bytes(learner.state()) == before
    learner.trainer = subject.backend.trainer(learner.model, TrainingPlan(SGDSpec()))
    assert learner.evaluate(batch("head", 2)).shape == (2, 7)


@pytest.mark.nets(*ALL)
@pytest.mark.parametrize("path", ["head", "fc.weight", "flatten", "fc.", ""])
def test_wrong_path_is_an_error_that_names_it(subject: Subject, path: str) -> None:
    model = subject.model()
    with pytest.raises(BackendError, match=f"'{path}'"):
        subject.backend.heads.in_features(model, path)
    with pytest.raises(BackendError, match=f"'{path}'"):
        subject.backend.heads.replace(model, path, values(1))


@pytest.mark.nets(*ALL)
def test_wrong_width_is_an_error_that_names_both(subject: Subject) -> None:
    model, path = subject.model(), subject.entry.classifier
    width = subject.backend.heads.in_features(model, path)
    with pytest.raises(BackendError, match=rf"head with {width + 1} inputs .* has {width}\."):
        subject.backend.heads.replace(model, path, values(width + 1))

"""Level four: heads of several layers, and heads by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from isotune.interfaces.trainer import TrainingPlan
from isotune.models.head import new_head, saved_head
from isotune.spec.head import HeadSpec, MLPHeadSpec
from isotune.spec.optimizer import SGDSpec
from isotune.testing.contract import on
from isotune.testing.detached import Detached
from isotune.testing.reference.layers import ACTIVATIONS, Dropout, Flatten, Linear
from isotune.testing.same_steps import assert_same_steps
from isotune.testing.subject import Subject, assert_close, in_bytes
from isotune.testing.values import batch

RATES = [0.05, 0.04, 0.03, 0.02]


def mlp(activation: str, outputs: str = "single", hidden: tuple[int, ...] = (9,)) -> HeadSpec:
    """Returns the spec of a head of several layers with dropout of 0.5."""
    return MLPHeadSpec.model_validate(
        {"name": "mlp", "hidden": hidden, "activation": activation, "outputs": outputs}
    )


def check_rebuilt_head(subject: Subject) -> None:
    """Saves a model with an MLP head and builds it again from what was saved."""
    backend, path = subject.backend, subject.entry.classifier_block
    model, spec = subject.model(), mlp("tanh", outputs="per_class", hidden=(5, 4))
    width = backend.heads.in_features(model, path)
    head = new_head(spec, 1, width, 3, subject.entry.convolutional)
    backend.heads.replace(model, path, head)
    saved = backend.state_adapter.export_model(model)
    assert [name for name in saved if name.startswith(f"{path}.")] == [
        f"{path}.{i}.{kind}" for i in (0, 3, 6) for kind in ("weight", "bias")
    ]
    again = subject.model()
    backend.heads.replace(again, path, saved_head(spec, path, saved))
    backend.state_adapter.import_model(again, saved)
    assert in_bytes(backend.state_adapter.export_model(again)) == in_bytes(saved)


class Heads(Detached):
    """Level four: MLP heads, and training a head by itself on cached features.

    Needs ``linear``, ``tiny_bn`` and ``tiny_dropout``.
    """

    @on("linear")
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_mlp_head_with_dropout(self, subject: Subject, activation: str) -> None:
        """An MLP head is the reference's layer for layer, in training and evaluation."""
        plan = TrainingPlan(SGDSpec(momentum=0.9), loss="binary_cross_entropy")
        head = new_head(mlp(activation), 5, 192, 2)
        data = [batch(f"mlp/{i}", 4, classes=2) for i in range(len(RATES))]
        learner, reference = subject.learner_with(head, plan), subject.reference(plan)
        reference.state = {key: value.astype(np.float64) for key, value in head.state("fc").items()}
        reference.net = [
            Flatten(),
            Linear("fc.0"),
            ACTIVATIONS[activation]("fc.1"),
            Dropout("fc.2", 0.5),
            Linear("fc.3"),
        ]
        assert_same_steps(learner, reference, data, RATES)
        assert_close(learner.evaluate(data[0]), reference.eval_step(data[0]), 1e-4)

    @on("tiny_bn")
    def test_mlp_head_is_rebuilt_from_its_state(self, subject: Subject) -> None:
        """A saved MLP head has canonical names, and is the same when it is built again."""
        check_rebuilt_head(subject)

"""The same weights give the same logits, in evaluation and in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from contract.subject import Learner, Subject
from contract.truth import CATALOGUE, CLASSES, SEED, TRUTH, pictures
from contract.values import state
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.head import HeadValues, LinearValues
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import SGDSpec

NAMES = ("efficientnet_lite0", "lenet", "mobilenet_v2", "resnet18")


def with_known_weights(subject: Subject) -> Learner:
    """Returns the backbone with a new head and the truth's values."""
    backend, path = subject.backend, subject.entry.classifier
    model = subject.model()
    width = backend.heads.in_features(model, path)
    head = LinearValues(np.zeros((CLASSES, width), np.float32), np.zeros(CLASSES, np.float32))
    backend.heads.replace(model, path, HeadValues(head))
    shapes = {name: v.shape for name, v in backend.checkpoints.export_model(model).items()}
    backend.checkpoints.import_model(model, state(shapes))
    trainer = backend.trainer(model, TrainingPlan(SGDSpec(), seed=SEED))
    trainer.freeze(FreezePlan())
    return Learner(backend, model, trainer)


def assert_near(actual: Any, expected: Any) -> None:
    assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.nets(*NAMES)
def test_logits_and_statistics_are_those_of_the_truth(subject: Subject) -> None:
    truth, data = TRUTH[subject.entry.name], pictures(subject.entry.name)
    learner = with_known_weights(subject)
    assert_near(learner.evaluate(data), truth["eval"])
    assert_near(learner.train([data], [1e-12])[0].logits, truth["train"])
    after = learner.state()
    for name, values in truth["statistics"].items():
        assert_near(after[name][:3], values)


def test_the_catalogue_knows_every_classifier() -> None:
    known = {name: entry.classifier for name, entry in CATALOGUE.items()}
    assert known == {name: truth["classifier"] for name, truth in TRUTH.items()}


@pytest.mark.nets(*CATALOGUE)
def test_an_adopted_model_is_the_one_that_was_given(subject: Subject) -> None:
    model = subject.backend.backbones.build(subject.entry.name)
    assert subject.backend.backbones.adopt(model) is model

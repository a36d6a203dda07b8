"""The same weights give the same logits, in evaluation and in training."""

from __future__ import annotations

import pytest

from contract.agreement import distance, freeze_all_but_heads, logits, with_known_weights
from contract.parting import place_shown
from contract.truth import CATALOGUE, TRAINED_WHOLE, TRUTH, WITH_LOGITS
from isotune.testing.subject import Learner, Subject


@pytest.mark.nets(*WITH_LOGITS)
def test_logits_and_statistics_are_those_of_the_truth(subject: Subject) -> None:
    name = subject.entry.name
    learner = ready(subject)
    found, truth = logits(learner, name), TRUTH[name]
    after = learner.state() if truth["statistics"] else {}
    with place_shown(subject, ready):
        for kind in ("eval", "train", "loss"):
            assert distance(found[kind], truth[kind]) < 1e-4
        for key, values in truth["statistics"].items():
            assert distance(after[key][:3], values) < 1e-4


def ready(subject: Subject) -> Learner:
    """Returns a backbone with the truth's values, as the truth is trained."""
    learner = with_known_weights(subject)
    if subject.entry.name not in TRAINED_WHOLE:
        freeze_all_but_heads(learner, subject)
    return learner


@pytest.mark.nets("alexnet", "convnext_tiny", "googlenet", "squeezenet1_1", "vit_b_32")
def test_features_are_what_the_last_layer_classifies(subject: Subject) -> None:
    entry, backend, learner = subject.entry, subject.backend, with_known_weights(subject)
    weights = {k: v for k, v in learner.state().items() if k.startswith(f"{entry.classifier}.")}
    backend.heads.detach(learner.model, entry.classifier)
    features = subject.learner_of(learner.model).evaluate(subject.images)
    assert features.shape == (2, entry.features)
    if not entry.convolutional:
        weight, bias = weights.values()
        assert distance(features @ weight.T + bias, TRUTH[entry.name]["eval"]) < 1e-4


def test_the_catalogue_knows_every_classifier() -> None:
    known = {name: entry.classifier for name, entry in CATALOGUE.items()}
    assert known == {name: truth["classifier"] for name, truth in TRUTH.items()}


@pytest.mark.nets(*WITH_LOGITS)
def test_an_adopted_model_is_the_one_that_was_given(subject: Subject) -> None:
    model = subject.backend.backbones.build(subject.entry)
    assert subject.backend.backbones.adopt(model) is model

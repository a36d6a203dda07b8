"""Heads of catalogue backbones: the checks of the contract on layers as they are nested there."""

from __future__ import annotations

import numpy as np
import pytest

from contract.truth import WITH_LOGITS
from isotune.models.head import new_head
from isotune.spec.head import LinearHeadSpec
from isotune.testing.detached import check_detached_steps, check_probe
from isotune.testing.heads import check_rebuilt_head, mlp
from isotune.testing.subject import Subject
from isotune.testing.tensors import (
    WRONG_PATHS,
    check_replaced_head,
    check_wrong_path,
    check_wrong_width,
)
from isotune.testing.values import state

BACKBONES = (
    "lenet",
    "resnet18",
    "mobilenet_v2",
    "alexnet",
    "convnext_tiny",
    "squeezenet1_1",
)


@pytest.mark.nets(*BACKBONES)
def test_replaced_head_has_the_given_bytes_and_nothing_else_changes(subject: Subject) -> None:
    check_replaced_head(subject)


@pytest.mark.nets(*BACKBONES)
@pytest.mark.parametrize("path", WRONG_PATHS)
def test_wrong_path_is_an_error_that_names_it(subject: Subject, path: str) -> None:
    check_wrong_path(subject, path)


@pytest.mark.nets(*BACKBONES)
def test_wrong_width_is_an_error_that_names_both(subject: Subject) -> None:
    check_wrong_width(subject)


@pytest.mark.nets("lenet")
def test_a_linear_head_by_itself_trains_as_within_the_model(subject: Subject) -> None:
    check_detached_steps(subject, LinearHeadSpec())


@pytest.mark.nets("lenet", "mobilenet_v2")
def test_frozen_layers_before_the_classifier_do_the_same_apart(subject: Subject) -> None:
    check_probe(subject, None, expected=True)


@pytest.mark.nets("alexnet", "convnext_tiny", "squeezenet1_1")
def test_mlp_head_takes_the_place_of_a_whole_classifier(subject: Subject) -> None:
    backend, entry, model = subject.backend, subject.entry, subject.model()
    path, spec = entry.classifier_block, mlp("relu", outputs="per_class", hidden=(5,))
    width = backend.heads.in_features(model, path)
    backend.heads.replace(model, path, new_head(spec, 1, width, 3, entry.convolutional))
    backend.state_adapter.import_model(model, state(backend.state_adapter.model_shapes(model)))
    logits = subject.learner_of(model).evaluate(subject.images)
    assert logits.shape == (2, 3)
    assert np.ptp(logits) > 0


@pytest.mark.nets(*(name for name in WITH_LOGITS if "lenet" not in name))
def test_mlp_head_is_rebuilt_from_its_state(subject: Subject) -> None:
    check_rebuilt_head(subject)

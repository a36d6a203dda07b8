"""A model cut in two: features, and a classifier by itself that is still the whole model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.subject import Subject, assert_close, assert_states_close, in_bytes
from contract.truth import images
from contract.values import NORMALIZATION, batch, state
from isotune.errors import BackendError
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, FeatureBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import HostOutputs, StepPlan, Trainer, TrainingPlan
from isotune.models.head import head_path, new_head
from isotune.spec.head import HeadSpec, LinearHeadSpec, MLPHeadSpec
from isotune.spec.optimizer import AdamSpec
from isotune.training.features.cut import Cut
from isotune.training.features.probe import can_be_cut

PLAN = TrainingPlan(AdamSpec(name="adam"), seed=3)


def built(subject: Subject, head: HeadSpec) -> tuple[Any, Cut]:
    """Returns a model with a new head, the same values in every one of them, and its cut."""
    backend, model, path = subject.backend, subject.model(), head_path(head, subject.entry)
    width = backend.heads.in_features(model, path)
    backend.heads.replace(model, path, new_head(head, 5, width, 3))
    shapes = {name: v.shape for name, v in backend.checkpoints.export_model(model).items()}
    backend.checkpoints.import_model(model, state(shapes))
    return model, Cut.of(subject.entry, shapes)


def data(subject: Subject) -> Batch:
    own = subject.entry.name in ("linear", "tiny_bn", "tiny_dropout")
    return batch("cut", 4) if own else images(subject.entry.name)


def frozen_before(cut: Cut) -> FreezePlan:
    names = {n for n in cut.before if not n.endswith((".running_mean", ".running_var"))}
    return FreezePlan(frozenset(names))


def features_of(backend: Backend, model: Any, cut: Cut, images: Batch) -> NDArray[np.float32]:
    fed = next(backend.dataset.feed([images], NORMALIZATION))
    if not cut.before:  # there is no layer to compute them
        return np.reshape(np.asarray(fed.images), (len(images), -1))
    extractor = backend.trainer(model, PLAN)
    (outputs,) = extractor.fetch([extractor.eval_step(fed)])
    return outputs.logits


def steps(trainer: Trainer, batches: Sequence[Any]) -> list[HostOutputs]:
    outputs = [trainer.train_step(fed, StepPlan(step, 0.01)) for step, fed in enumerate(batches)]
    return trainer.fetch([*outputs, trainer.eval_step(batches[0])])


@pytest.mark.nets("linear", "lenet", "efficientnet_b0")
def test_a_linear_head_by_itself_trains_as_within_the_model(subject: Subject) -> None:
    check_steps(subject, LinearHeadSpec())


@pytest.mark.nets("tiny_bn")
def test_an_mlp_head_by_itself_trains_as_within_the_model(subject: Subject) -> None:
    check_steps(subject, MLPHeadSpec(name="mlp", hidden=(6, 5), dropout=0.25))


def check_steps(subject: Subject, head: HeadSpec) -> None:
    backend, checkpoints, samples = subject.backend, subject.backend.checkpoints, data(subject)
    samples = Batch(samples.images, samples.labels % 3)
    model, cut = built(subject, head)
    whole = backend.trainer(model, PLAN)
    whole.freeze(frozen_before(cut))
    fed = list(backend.dataset.feed([samples] * 3, NORMALIZATION))
    expected = steps(whole, fed)

    other, _ = built(subject, head)
    before, shown = checkpoints.export_model(other), repr(other)
    taken = backend.heads.detach(other, cut.path)
    part = checkpoints.export_model(taken)
    assert in_bytes(part) == in_bytes({n: v for n, v in before.items() if n not in cut.before})
    rest = checkpoints.export_model(other) if cut.before else {}
    assert in_bytes(rest) == in_bytes({n: v for n, v in before.items() if n in cut.before})
    features = features_of(backend, other, cut, samples)
    assert features.shape == (len(samples), backend.heads.in_features(taken, cut.path))
    alone = backend.trainer(taken, PLAN)
    alone.freeze(FreezePlan())
    batches = [FeatureBatch(features, samples.labels)] * 3
    found = steps(alone, list(backend.dataset.feed_features(batches)))

    for mine, theirs in zip(found, expected, strict=True):
        assert_close(mine.logits, theirs.logits, 1e-4)
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-5, nan_ok=True)
    optimizer = checkpoints.export_optimizer(alone)
    assert_states_close(optimizer, checkpoints.export_optimizer(whole))
    backend.heads.attach(other, cut.path, taken)
    after = checkpoints.export_model(other)
    assert list(after) == list(before)
    assert_states_close(after, checkpoints.export_model(model))
    assert repr(other) == shown

    # Whole again, it goes on where the head by itself has stopped.
    again = backend.trainer(other, PLAN)
    again.freeze(FreezePlan())
    checkpoints.import_optimizer(again, optimizer)
    whole.freeze(FreezePlan())
    for one, two in zip(steps(again, fed), steps(whole, fed), strict=True):
        assert_close(one.logits, two.logits, 1e-3)


@pytest.mark.nets("tiny_bn", "lenet", "mobilenet_v2")
def test_frozen_layers_before_the_classifier_do_the_same_apart(subject: Subject) -> None:
    model, cut = built(subject, LinearHeadSpec())
    before = in_bytes(subject.backend.checkpoints.export_model(model))
    assert probed(subject, model, cut, frozen_before(cut))
    assert in_bytes(subject.backend.checkpoints.export_model(model)) == before


@pytest.mark.nets("tiny_dropout", "tiny_bn")
def test_layers_that_do_not_are_found_out(subject: Subject) -> None:
    model, cut = built(subject, LinearHeadSpec())
    before = in_bytes(subject.backend.checkpoints.export_model(model))
    random = subject.entry.name == "tiny_dropout"
    plan = frozen_before(cut) if random else FreezePlan()  # BatchNorm looks at the whole batch
    assert not probed(subject, model, cut, plan)
    assert in_bytes(subject.backend.checkpoints.export_model(model)) == before


def probed(subject: Subject, model: Any, cut: Cut, plan: FreezePlan) -> bool:
    samples = data(subject)
    samples = Batch(samples.images, samples.labels % 3)
    return can_be_cut(subject.backend, model, cut, PLAN, plan, samples, NORMALIZATION)


@pytest.mark.nets("linear", "tiny_bn")
@pytest.mark.parametrize("path", ["head", "flatten", ""])
def test_only_a_classifier_is_taken_out(subject: Subject, path: str) -> None:
    with pytest.raises(BackendError, match=f"'{path}'"):
        subject.backend.heads.detach(subject.model(), path)

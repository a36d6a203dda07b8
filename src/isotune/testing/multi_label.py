"""Several labels an image: targets for every class, and binary cross entropy over all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, FeatureBatch
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.loss import binary_cross_entropy
from isotune.spec.optimizer import AdamSpec, SGDSpec
from isotune.testing.contract import Contract, on
from isotune.testing.divided import Update
from isotune.testing.places import place_shown
from isotune.testing.same_steps import assert_same_steps
from isotune.testing.subject import Subject, assert_close, assert_states_close
from isotune.testing.values import NORMALIZATION, batch, uniform
from isotune.training.micro_batches import micro_batches

CLASSES = 3
WEIGHTS = np.array([0.5, 3.0, 1.25], np.float32)
PLANS = {
    "plain": TrainingPlan(SGDSpec(momentum=0.9), loss="binary_cross_entropy", multi_label=True),
    "smoothed": TrainingPlan(
        AdamSpec(name="adam"), loss="binary_cross_entropy", label_smoothing=0.2, multi_label=True
    ),
    "weighted": TrainingPlan(
        SGDSpec(),
        loss="binary_cross_entropy",
        label_smoothing=0.1,
        class_weights=WEIGHTS,
        multi_label=True,
    ),
}
SIZES = [4, 4, 3, 4]


def targets_of(name: str, size: int) -> Batch:
    """Returns a batch whose first half has labels, and the rest any targets in [0, 1]."""
    values = uniform(f"{name}/targets", (size, CLASSES), 0, 1)
    values[: size // 2] = values[: size // 2] > 0.5
    return Batch(batch(name, size).images, values)


def data_of(name: str) -> list[Batch]:
    """Returns batches of :data:`SIZES`."""
    return [targets_of(f"{name}/{i}", size) for i, size in enumerate(SIZES)]


class MultiLabel(Contract):
    """The part of the first level that is about images with several labels."""

    def test_targets_arrive_as_they_are(self, backend: Backend) -> None:
        """Labels of shape (N, classes) stay floating-point numbers, with images and features."""
        data = data_of("feed")
        features = [FeatureBatch(uniform("f", (len(d), 5), -1, 1), d.labels) for d in data]
        feeds = backend.dataset.feed(data, NORMALIZATION), backend.dataset.feed_features(features)
        for fed in feeds:
            for device, each in zip(fed, data, strict=True):
                labels = self.to_numpy(device.labels)
                assert device.size == len(each)
                assert labels.dtype == np.float32
                assert_array_equal(labels, each.labels)

    @on("linear")
    @pytest.mark.parametrize("name", PLANS)
    def test_targets_of_every_class(self, subject: Subject, name: str) -> None:
        """Steps on labels, and on any targets in [0, 1], with smoothing and class weights."""
        plan, data = PLANS[name], data_of(name)
        learner, reference = subject.learner(plan), subject.reference(plan)
        assert_same_steps(learner, reference, data, [0.05, 0.04, 0.03, 0.02])
        (output,) = learner.train(data[:1], [0.0], len(data))
        sums = binary_cross_entropy(
            output.logits, data[0].labels, plan.label_smoothing, plan.class_weights, True
        )
        assert_close(output.loss, sums[0] / sums[1])

    @on("linear")
    def test_extreme_logits_of_targets(self, subject: Subject) -> None:
        """Logits whose exponentials overflow float32 have finite losses and gradients."""
        plan = PLANS["weighted"]
        learner, reference = subject.learner(plan), subject.reference(plan)
        bias = np.array([200, -200, 0], np.float32)
        state = {**subject.initial(), "fc.bias": bias}
        subject.backend.state_adapter.import_model(learner.model, state)
        reference.state["fc.bias"] = bias.astype(np.float64)
        assert_same_steps(learner, reference, data_of("extreme")[:2], [0.1, 0.1])

    @on("linear")
    def test_an_update_on_targets_is_that_of_one_larger_batch(self, subject: Subject) -> None:
        """Micro-batches count by their images, with class weights as well."""
        plan, data = PLANS["weighted"], data_of("accumulated")
        every = len(data)
        learner = subject.learner(replace(plan, accumulate=every))
        parts = micro_batches([each.labels for each in data], every, plan)
        fed = learner.backend.dataset.feed(data, NORMALIZATION)
        for step, (each, part) in enumerate(zip(fed, parts, strict=True)):
            learner.trainer.train_step(
                each, StepPlan(step, 0.05, part.loss_scale, part.apply_update)
            )
        reference = subject.reference(plan)
        whole = Batch(
            np.concatenate([each.images for each in data]),
            np.concatenate([each.labels for each in data]),
        )
        with place_shown(learner, reference, [Update(data, 0.05, 0)]):
            reference.train_step(whole, 0.05, 0)
            assert_states_close(learner.state(), reference.state)

    @on("linear")
    def test_a_classifier_trains_on_features_and_targets(self, subject: Subject) -> None:
        """Taken out of its model, it makes the steps that it makes on images."""
        plan, data = PLANS["smoothed"], data_of("features")
        inside, outside = subject.learner(plan), subject.learner(plan)
        expected = inside.train(data, [0.05] * len(data))
        backend = subject.backend
        head = backend.heads.detach(outside.model, "fc")
        trainer = backend.trainer(head, plan)
        images = [self.to_numpy(each.images) for each in backend.dataset.feed(data, NORMALIZATION)]
        features = [
            FeatureBatch(np.ascontiguousarray(image).reshape(len(each), -1), each.labels)
            for image, each in zip(images, data, strict=True)
        ]
        fed = enumerate(backend.dataset.feed_features(features))
        steps = [trainer.train_step(each, StepPlan(step, 0.05)) for step, each in fed]
        for output, other in zip(trainer.fetch(steps), expected, strict=True):
            assert_close(output.logits, other.logits)
            assert_close(output.loss, other.loss)
        backend.heads.attach(outside.model, "fc", head)
        assert_states_close(outside.state(), inside.state())

"""Mixed images: labels are the shares of the classes, and losses those of class probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.interfaces.dataset import Batch
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.models.head import new_head
from isotune.spec.head import LinearHeadSpec
from isotune.spec.loss import LOSSES, LossName
from isotune.spec.optimizer import SGDSpec
from isotune.testing.contract import Contract, on
from isotune.testing.divided import Update
from isotune.testing.places import place_shown
from isotune.testing.same_steps import assert_same_steps
from isotune.testing.subject import Subject, assert_close, assert_states_close
from isotune.testing.values import NORMALIZATION, batch, uniform
from isotune.training.micro_batches import micro_batches

WEIGHTS = np.array([0.5, 3.0, 1.25], np.float32)
SMOOTHING = 0.1


def mixed(name: str, size: int, classes: int = 3) -> Batch:
    """Returns random images with random shares of two classes; the last one has a single class."""
    one, other = (batch(f"{name}/{part}", size, classes=classes) for part in ("one", "other"))
    share = uniform(f"{name}/shares", (size, 1), 0, 1)
    share[-1] = 1
    hot = np.eye(classes, dtype=np.float32)
    shares = share * hot[one.labels] + (1 - share) * hot[other.labels]
    return Batch(one.images, shares.astype(np.float32))


def joined(data: list[Batch]) -> Batch:
    """Returns one larger batch."""
    images, labels = zip(*((each.images, each.labels) for each in data), strict=True)
    return Batch(np.concatenate(images), np.concatenate(labels))


def weighted(loss: LossName, weights: NDArray[np.float32], accumulate: int = 1) -> TrainingPlan:
    """Returns a plan with class weights and label smoothing."""
    return TrainingPlan(
        SGDSpec(momentum=0.9),
        loss=loss,
        label_smoothing=SMOOTHING,
        class_weights=weights,
        accumulate=accumulate,
    )


class Mixed(Contract):
    """The part of the first level that is about images that were mixed."""

    @on("linear")
    @pytest.mark.parametrize("loss", LOSSES)
    def test_shares_of_classes(self, subject: Subject, loss: LossName) -> None:
        """An update over two batches is that of one larger batch, smoothed and weighted."""
        data, plan = [mixed(f"shares/{i}", 4) for i in range(4)], weighted(loss, WEIGHTS, 2)
        learner, reference = subject.learner(plan), subject.reference(plan)
        parts = micro_batches([each.labels for each in data], 2, plan)
        fed = enumerate(zip(learner.backend.dataset.feed(data, NORMALIZATION), parts, strict=True))
        steps = [
            learner.trainer.train_step(each, StepPlan(n, 0.05, part.loss_scale, part.apply_update))
            for n, (each, part) in fed
        ]
        outputs = learner.trainer.fetch(steps)
        updates = [Update(data[:2], 0.05, 0), Update(data[2:], 0.05, 2)]
        with place_shown(learner, reference, updates):
            for update in updates:
                reference.train_step(joined([*update.batches]), 0.05, 0)
            assert_states_close(learner.state(), reference.state)
        for output, each in zip(outputs, data, strict=True):
            total, weight = LOSSES[loss](output.logits, each.labels, SMOOTHING, WEIGHTS)
            assert_close(output.loss, total / weight)

    @on("linear")
    def test_a_single_output_takes_the_share_of_the_second_class(self, subject: Subject) -> None:
        """Of labels of two classes, shape (N, 2), it is the second column."""
        head = new_head(LinearHeadSpec(outputs="single"), 5, 192, 2)
        plan = weighted("binary_cross_entropy", np.array([0.5, 2.0], np.float32))
        learner, reference = subject.learner_with(head, plan), subject.reference(plan)
        reference.state = {key: value.astype(np.float64) for key, value in head.state("fc").items()}
        data = [mixed(f"single/{i}", 4, classes=2) for i in range(3)]
        assert_same_steps(learner, reference, data, [0.05, 0.04, 0.03])

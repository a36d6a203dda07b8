"""Dropout drops what the core's masks say, in every backend."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.subject import Learner, Subject, assert_close
from contract.values import batch
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import SGDSpec

PLAN = TrainingPlan(SGDSpec(), seed=5)
TINY_RATE = 1e-12
"""Small enough that the weights stay as they are."""


def logits(learner: Learner, step: int) -> NDArray[np.float32]:
    return learner.train([batch("dropout", 4)], [TINY_RATE], first=step)[0].logits


@pytest.mark.nets("tiny_dropout")
def test_masks_are_those_of_the_core_and_follow_seed_and_step(subject: Subject) -> None:
    learner, other = subject.learner(PLAN), subject.learner(TrainingPlan(SGDSpec(), seed=6))
    seen = [logits(learner, step) for step in (0, 1, 2**33)]
    for step, found in zip((0, 1, 2**33), seen, strict=True):
        expected, _ = subject.reference(PLAN).train_step(batch("dropout", 4), TINY_RATE, step)
        assert_close(found, expected)
    assert not np.allclose(seen[0], seen[1])
    assert logits(learner, 1).tobytes() == seen[1].tobytes()
    assert not np.allclose(logits(other, 1), seen[1])


@pytest.mark.nets("tiny_dropout")
def test_dropout_is_off_in_evaluation(subject: Subject) -> None:
    learner = subject.learner(PLAN)
    for _ in range(2):
        expected = subject.reference(PLAN).eval_step(batch("dropout", 4))
        assert_close(learner.evaluate(batch("dropout", 4)), expected)
        logits(learner, 0)

"""Steps: short batches, evaluation in between, determinism, what reaches the host."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from contract.reference.loss import cross_entropy
from contract.subject import Learner, Subject, assert_close, assert_same_steps, in_bytes
from contract.values import NORMALIZATION, batch, batches
from isotune.interfaces.dataset import Batch
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import AdamSpec, SGDSpec

MOMENTUM = TrainingPlan(SGDSpec(momentum=0.9))
SIZES = [4, 4, 3, 4, 4, 3]
RATES = [0.05, 0.04, 0.03, 0.02]


@pytest.mark.nets("linear", "tiny_bn")
def test_short_batches_train_like_any_other(subject: Subject) -> None:
    plan = TrainingPlan(AdamSpec(name="adam"), label_smoothing=0.1)
    data = batches("short", SIZES)
    assert_same_steps(subject.learner(plan), subject.reference(plan), data, [0.01] * len(SIZES))


@pytest.mark.nets("tiny_bn", "tiny_dropout")
def test_same_inputs_give_the_same_bytes(subject: Subject) -> None:
    one, two = subject.learner(MOMENTUM), subject.learner(MOMENTUM)
    data = batches("twice", [4] * 4)
    losses = [[output.loss for output in learner.train(data, RATES)] for learner in (one, two)]
    assert losses[0] == losses[1]
    assert in_bytes(one.state()) == in_bytes(two.state())
    assert in_bytes(one.optimizer_state()) == in_bytes(two.optimizer_state())


@pytest.mark.nets("linear", "tiny_bn")
def test_evaluation_depends_on_no_batch_size_and_changes_nothing(subject: Subject) -> None:
    learner, reference = subject.learner(MOMENTUM), subject.reference(MOMENTUM)
    assert_same_steps(learner, reference, batches("train", [4, 4]), RATES[:2])
    before = in_bytes(learner.state()), in_bytes(learner.optimizer_state())
    whole = batch("whole", 5)
    cuts = [slice(0, 4), slice(4, 5)]
    parts = [Batch(whole.images[cut], whole.labels[cut]) for cut in cuts]
    assert_close(learner.evaluate(whole), reference.eval_step(whole))
    assert_close(learner.evaluate(*parts), reference.eval_step(whole))
    assert (in_bytes(learner.state()), in_bytes(learner.optimizer_state())) == before


@pytest.mark.nets("linear", "tiny_bn", "tiny_dropout")
def test_evaluation_in_between_leaves_training_as_it_was(subject: Subject) -> None:
    data = batches("between", [4] * 4)
    plain, interrupted = subject.learner(MOMENTUM), subject.learner(MOMENTUM)
    plain.train(data, RATES)
    interrupted.evaluate(data[3])
    for step, (one, rate) in enumerate(zip(data, RATES, strict=True)):
        interrupted.train([one], [rate], first=step)
        interrupted.evaluate(data[0])
    assert in_bytes(interrupted.state()) == in_bytes(plain.state())


@pytest.mark.nets("linear")
def test_outputs_on_the_host(subject: Subject) -> None:
    learner = subject.learner()
    fed = list(subject.backend.dataset.feed(batches("host", [4, 3]), NORMALIZATION))
    trained = learner.trainer.train_step(fed[0], StepPlan(0, 0.1))
    evaluated = learner.trainer.eval_step(fed[1])
    # Must not reach back into earlier outputs.
    learner.trainer.train_step(fed[0], StepPlan(1, 10.0))
    first, second = learner.trainer.fetch([trained, evaluated])
    assert (first.logits.shape, second.logits.shape) == ((4, 3), (3, 3))
    assert first.logits.dtype == second.logits.dtype == np.float32
    assert type(first.loss) is type(second.loss) is float
    expected, _ = cross_entropy(first.logits.astype(float), batches("host", [4])[0].labels)
    assert_close(first.loss, expected)
    assert math.isnan(second.loss)
    assert learner.trainer.fetch([]) == []


LOSSES = [
    TrainingPlan(SGDSpec()),
    TrainingPlan(SGDSpec(), label_smoothing=0.3),
    TrainingPlan(
        SGDSpec(), label_smoothing=0.1, class_weights=np.array([0.1, 1, 7], dtype=np.float32)
    ),
]


@cache
def lasting(subject: Subject, plan: int) -> Learner:
    """Returns one learner for all examples: a compiled step is dear."""
    return subject.learner(LOSSES[plan])


@pytest.mark.nets("linear")
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plan=st.integers(0, len(LOSSES) - 1),
    pixels=st_numpy.arrays(np.uint8, (4, 8, 8, 3)),
    labels=st_numpy.arrays(np.int32, 4, elements=st.integers(0, 2)),
    bias=st_numpy.arrays(np.float32, 3, elements=st.floats(-60, 60, width=32)),
)
def test_loss_of_any_batch(
    subject: Subject,
    plan: int,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int32],
    bias: NDArray[np.float32],
) -> None:
    learner = lasting(subject, plan)
    state = {**subject.initial(), "fc.bias": bias}
    subject.backend.checkpoints.import_model(learner.model, state)
    output = learner.train([Batch(pixels, labels)], [0.1])[0]
    reference = subject.reference(LOSSES[plan])
    reference.state["fc.bias"] = bias.astype(np.float64)
    logits, loss = reference.train_step(Batch(pixels, labels), 0.1, 0)
    assert_close(output.logits, logits)
    assert_close(output.loss, loss)

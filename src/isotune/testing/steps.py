"""Level one: tensors and steps. Short batches, evaluation in between, determinism, dropout."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import AdamSpec, SGDSpec
from isotune.testing.contract import on
from isotune.testing.divided import Update
from isotune.testing.mixed import Mixed
from isotune.testing.multi_label import MultiLabel
from isotune.testing.places import place_shown
from isotune.testing.reference.loss import cross_entropy
from isotune.testing.same_steps import assert_same_steps
from isotune.testing.subject import Learner, Subject, assert_close, in_bytes
from isotune.testing.surroundings import Surroundings
from isotune.testing.tensors import Tensors
from isotune.testing.updates import Updates
from isotune.testing.values import NORMALIZATION, batch, batches

MOMENTUM = TrainingPlan(SGDSpec(momentum=0.9))
RATES = [0.05, 0.04, 0.03, 0.02]
TINY_RATE = 1e-12
"""Small enough that the weights stay as they are."""

SIGNIFICANT_BITS = {"tf32": 11, "bf16": 8, "fp16": 11}
LOSSES = [
    TrainingPlan(SGDSpec()),
    TrainingPlan(SGDSpec(), label_smoothing=0.3),
    TrainingPlan(
        SGDSpec(), label_smoothing=0.1, class_weights=np.array([0.1, 1, 7], dtype=np.float32)
    ),
]


@cache
def _lasting(subject: Subject, plan: int) -> Learner:
    """Returns one learner for all examples: a compiled step is expensive."""
    return subject.learner(LOSSES[plan])


class Steps(Tensors, Updates, MultiLabel, Mixed, Surroundings):
    """Level one: what a backend does with tensors, and its training and evaluation steps.

    Needs ``linear``, ``tiny_bn`` and ``tiny_dropout``.
    """

    @on("linear", "tiny_bn")
    def test_short_batches_train_like_any_other(self, subject: Subject) -> None:
        """The last batch of an epoch may be short, and the next one long again."""
        plan = TrainingPlan(AdamSpec(name="adam"), label_smoothing=0.1)
        data = batches("short", [4, 4, 3, 4, 4, 3])
        learner, reference = subject.learner(plan), subject.reference(plan)
        assert_same_steps(learner, reference, data, [0.01] * len(data))

    @on("tiny_bn", "tiny_dropout")
    def test_same_inputs_give_the_same_bytes(self, subject: Subject) -> None:
        """Training is deterministic, bit for bit."""
        one, two = subject.learner(MOMENTUM), subject.learner(MOMENTUM)
        data = batches("twice", [4] * 4)
        losses = [[output.loss for output in each.train(data, RATES)] for each in (one, two)]
        assert losses[0] == losses[1]
        assert in_bytes(one.state()) == in_bytes(two.state())
        assert in_bytes(one.optimizer_state()) == in_bytes(two.optimizer_state())

    @on("linear", "tiny_bn")
    def test_evaluation_depends_on_no_batch_size_and_changes_nothing(
        self, subject: Subject
    ) -> None:
        """Logits of an image are its own: BatchNorm uses stored statistics, and keeps them."""
        learner, reference = subject.learner(MOMENTUM), subject.reference(MOMENTUM)
        assert_same_steps(learner, reference, batches("train", [4, 4]), RATES[:2])
        before = in_bytes(learner.state()), in_bytes(learner.optimizer_state())
        whole = batch("whole", 5)
        cuts = [slice(0, 4), slice(4, 5)]
        parts = [Batch(whole.images[cut], whole.labels[cut]) for cut in cuts]
        assert_close(learner.evaluate(whole), reference.eval_step(whole))
        assert_close(learner.evaluate(*parts), reference.eval_step(whole))
        assert (in_bytes(learner.state()), in_bytes(learner.optimizer_state())) == before

    @on("linear", "tiny_bn", "tiny_dropout")
    def test_evaluation_in_between_leaves_training_as_it_was(self, subject: Subject) -> None:
        """A validation pass changes no byte of what is trained afterwards."""
        data = batches("between", [4] * 4)
        plain, interrupted = subject.learner(MOMENTUM), subject.learner(MOMENTUM)
        plain.train(data, RATES)
        interrupted.evaluate(data[3])
        for step, (one, rate) in enumerate(zip(data, RATES, strict=True)):
            interrupted.train([one], [rate], first=step)
            interrupted.evaluate(data[0])
        assert in_bytes(interrupted.state()) == in_bytes(plain.state())

    @on("linear")
    def test_outputs_on_the_host(self, subject: Subject) -> None:
        """``fetch`` returns float32 logits and losses, in order, from before each update."""
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

    @on("tiny_dropout")
    def test_masks_are_those_of_the_core_and_follow_seed_and_step(self, subject: Subject) -> None:
        """Dropout drops what :func:`isotune.training.dropout.keep_mask` says, by layer and step."""
        seeds = (TrainingPlan(SGDSpec(), seed=5), TrainingPlan(SGDSpec(), seed=6))
        learner, other = (subject.learner(plan) for plan in seeds)
        data, steps = [batch("dropout", 4)], (0, 1, 2**33)
        seen = [learner.train(data, [TINY_RATE], first=step)[0].logits for step in steps]
        for step, actual in zip(steps, seen, strict=True):
            reference, update = subject.reference(seeds[0]), Update(data, TINY_RATE, step)
            with place_shown(learner, reference, [update]):
                expected, _ = reference.train_step(data[0], TINY_RATE, step)
                assert_close(actual, expected)
        assert not np.allclose(seen[0], seen[1])
        again = learner.train(data, [TINY_RATE], first=1)[0].logits
        assert again.tobytes() == seen[1].tobytes()
        assert not np.allclose(other.train(data, [TINY_RATE], first=1)[0].logits, seen[1])

    @on("tiny_dropout")
    def test_dropout_is_off_in_evaluation(self, subject: Subject) -> None:
        """An evaluation step drops nothing, before and after training."""
        learner, data = subject.learner(), batch("dropout", 4)
        for _ in range(2):
            assert_close(learner.evaluate(data), subject.reference().eval_step(data))
            learner.train([data], [TINY_RATE])

    def test_every_device_computes_in_float32(self, backend: Backend) -> None:
        """``precisions`` begins with ``fp32`` and names none twice."""
        precisions = backend.precisions()
        assert precisions[0] == "fp32"
        assert len(set(precisions)) == len(precisions)
        assert set(precisions) <= {"fp32", *SIGNIFICANT_BITS}

    @on("linear", "tiny_bn")
    def test_lower_precisions_stay_close_and_keep_float32_parameters(
        self, subject: Subject
    ) -> None:
        """Each lower precision trains alike; parameters and optimizer stay float32.

        The norm of the gradient is that of gradients that no precision scales.
        """
        data, rates = batches("precision", [4] * 5), [0.01] * 5
        plan = replace(MOMENTUM, clip_grad_norm=5.0)
        exact = subject.learner(plan)
        expected = exact.train(data, rates)
        assert all(output.logits.dtype == np.float32 for output in expected)
        for precision in subject.backend.precisions()[1:]:
            learner = subject.learner(replace(plan, precision=precision))
            near = 16 * 2.0 ** -SIGNIFICANT_BITS[precision]
            for output, other in zip(learner.train(data, rates), expected, strict=True):
                assert output.logits.dtype == np.float32
                assert_allclose(output.logits, other.logits, rtol=near, atol=near)
                assert_allclose(output.grad_norm, other.grad_norm, rtol=near, atol=near)
            assert in_bytes(learner.state()) != in_bytes(exact.state())
            for name, value in {**learner.state(), **learner.optimizer_state()}.items():
                assert value.dtype == np.float32, name
            evaluated = learner.evaluate(data[0])
            assert evaluated.dtype == np.float32
            assert_allclose(evaluated, exact.evaluate(data[0]), rtol=near, atol=near)

    @on("tiny_bn", "tiny_dropout")
    def test_compiling_changes_nothing_but_rounding(self, subject: Subject) -> None:
        """``TrainingPlan.compile`` changes no result."""
        sizes = [4, 4, 4, 3]
        data, rates = batches("compile", sizes), [0.05] * len(sizes)
        plain = subject.learner(MOMENTUM)
        compiled = subject.learner(TrainingPlan(SGDSpec(momentum=0.9), compile=True))
        for first in (0, len(sizes)):
            outputs = compiled.train(data, rates, first)
            for output, other in zip(outputs, plain.train(data, rates, first), strict=True):
                assert_allclose(output.logits, other.logits, rtol=1e-5, atol=1e-5)
            actual, expected = compiled.evaluate(data[0]), plain.evaluate(data[0])
            assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
        for name, value in compiled.state().items():
            assert_allclose(value, plain.state()[name], rtol=1e-5, atol=1e-5, err_msg=name)

    @on("linear")
    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # no search for a smaller example, which may take a minute
        suppress_health_check=list(HealthCheck),
    )
    @given(
        plan=st.integers(0, len(LOSSES) - 1),
        pixels=st_numpy.arrays(np.uint8, (4, 8, 8, 3)),
        labels=st_numpy.arrays(np.int32, 4, elements=st.integers(0, 2)),
        bias=st_numpy.arrays(np.float32, 3, elements=st.floats(-60, 60, width=32)),
    )
    def test_loss_of_any_batch(
        self,
        subject: Subject,
        plan: int,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int32],
        bias: NDArray[np.float32],
    ) -> None:
        """Logits and loss of whatever hypothesis comes up with, extreme logits included."""
        learner = _lasting(subject, plan)
        state: dict[str, NDArray[Any]] = {**subject.initial(), "fc.bias": bias}
        subject.backend.state_adapter.import_model(learner.model, state)
        output = learner.train([Batch(pixels, labels)], [0.1])[0]
        reference = subject.reference(LOSSES[plan])
        reference.state["fc.bias"] = bias.astype(np.float64)
        logits, loss = reference.train_step(Batch(pixels, labels), 0.1, 0)
        assert_close(output.logits, logits)
        assert_close(output.loss, loss)

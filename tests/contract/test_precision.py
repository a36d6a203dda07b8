"""Precisions: a device has some, says so of the others, and trains alike in all it has."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from contract.subject import Subject, in_bytes
from contract.values import batches
from isotune.interfaces.backend import Backend
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import SGDSpec

SIGNIFICANT_BITS = {"tf32": 11, "bf16": 8, "fp16": 11}
STEPS = 5


def test_every_device_computes_in_float32(backend: Backend) -> None:
    precisions = backend.precisions()
    assert precisions[0] == "fp32"
    assert len(set(precisions)) == len(precisions)
    assert set(precisions) <= {"fp32", *SIGNIFICANT_BITS}


@pytest.mark.nets("linear", "tiny_bn")
def test_lower_precisions_stay_close_and_keep_float32_parameters(subject: Subject) -> None:
    data, rates = batches("precision", [4] * STEPS), [0.01] * STEPS
    exact = subject.learner(TrainingPlan(SGDSpec(momentum=0.9)))
    expected = exact.train(data, rates)
    for precision in subject.backend.precisions()[1:]:
        plan = TrainingPlan(SGDSpec(momentum=0.9), precision=precision)
        learner = subject.learner(plan)
        near = 16 * 2.0 ** -SIGNIFICANT_BITS[precision]
        for output, other in zip(learner.train(data, rates), expected, strict=True):
            assert output.logits.dtype == np.float32
            assert_allclose(output.logits, other.logits, rtol=near, atol=near)
        assert in_bytes(learner.state()) != in_bytes(exact.state())
        for name, value in {**learner.state(), **learner.optimizer_state()}.items():
            assert value.dtype == np.float32, name
        evaluated = learner.evaluate(data[0])
        assert evaluated.dtype == np.float32
        assert_allclose(evaluated, exact.evaluate(data[0]), rtol=near, atol=near)


@pytest.mark.nets("tiny_bn", "tiny_dropout")
def test_compiling_changes_nothing_but_rounding(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    if subject.backend.name == "torch":
        import torch

        compile_model = torch.compile  # its default needs a C++ compiler and half a minute
        monkeypatch.setattr(torch, "compile", lambda m: compile_model(m, backend="aot_eager"))
    sizes = [4, 4, 4, 3]
    data, rates = batches("compile", sizes), [0.05] * len(sizes)
    plain = subject.learner(TrainingPlan(SGDSpec(momentum=0.9)))
    compiled = subject.learner(TrainingPlan(SGDSpec(momentum=0.9), compile=True))
    for first in (0, len(sizes)):
        outputs = compiled.train(data, rates, first)
        for output, other in zip(outputs, plain.train(data, rates, first), strict=True):
            assert_allclose(output.logits, other.logits, rtol=1e-5, atol=1e-5)
        assert_allclose(compiled.evaluate(data[0]), plain.evaluate(data[0]), rtol=1e-5, atol=1e-5)
    for name, value in compiled.state().items():
        assert_allclose(value, plain.state()[name], rtol=1e-5, atol=1e-5, err_msg=name)

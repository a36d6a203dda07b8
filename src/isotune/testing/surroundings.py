"""The part of level one that is about the caller: settings of the process, random numbers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from isotune.interfaces.trainer import HostOutputs, TrainingPlan
from isotune.spec.optimizer import AdamSpec
from isotune.testing.contract import Contract, on
from isotune.testing.subject import Subject, in_bytes
from isotune.testing.values import batch, batches
from isotune.training.isolation import isolated


class Failure(Exception):
    """Stands for whatever may end a run."""


class Surroundings(Contract):
    """Neither do a caller's settings affect training, nor does training change them."""

    @on("tiny_bn", "tiny_dropout")
    def test_settings_of_the_caller_change_no_byte(self, subject: Subject) -> None:
        """``Backend.isolated`` computes the same in :meth:`Contract.unusual_settings`."""
        with isolated(subject.backend):
            expected = _trained(subject)
        with self.unusual_settings(), isolated(subject.backend):
            found = _trained(subject)
        assert found == expected

    @on("tiny_bn")
    @pytest.mark.parametrize("fails", [False, True])
    def test_settings_of_the_caller_are_restored(self, subject: Subject, fails: bool) -> None:
        """Also when training fails, and though a third party's code draws random numbers."""
        with self.unusual_settings():
            before = self._found()
            try:
                with isolated(subject.backend):
                    _trained(subject)
                    self.draw()
                    if fails:
                        raise Failure
            except Failure:
                pass
            assert self._found() == before

    def draw(self) -> None:
        """Draws random numbers as a third party's code may; override it to add the framework's."""
        random.random()
        np.random.rand()  # noqa: NPY002

    def _found(self) -> Any:
        random_state = np.random.get_state(legacy=False)  # noqa: NPY002
        return self.current_settings(), np.geterr(), random.getstate(), repr(random_state)


def _trained(subject: Subject) -> Any:
    """Returns, in bytes, what building, training and evaluating come to."""
    learner = subject.learner(TrainingPlan(AdamSpec(name="adam"), seed=3))
    outputs: list[HostOutputs] = learner.train(batches("caller", [4, 4, 3]), [0.01] * 3)
    logits = [learner.evaluate(batch("eval", 3)), *(each.logits for each in outputs)]
    losses = [each.loss for each in outputs]
    state = {**learner.state(), **learner.optimizer_state()}
    return in_bytes(state), [each.tobytes() for each in logits], losses

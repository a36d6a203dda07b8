"""A backbone that differs between backends: the report of a failed test says where."""

from __future__ import annotations

import runpy

import pytest

from contract import parting
from contract.parting import place_shown
from isotune.testing.nets import NETS
from isotune.testing.subject import Learner, Subject
from numpy_backend.backend import NumpyBackend
from testing.inner import CONTRACT

EXAMPLE = runpy.run_path(str(CONTRACT))["TestContract"]()


def test_a_failure_names_the_place_between_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = (
        Subject(NumpyBackend("cpu"), NETS["tiny_bn"].entry, EXAMPLE.tiny_bn) for _ in range(2)
    )
    monkeypatch.setattr(parting, "subjects", lambda: {"right": right, "wrong": wrong})

    def ready(subject: Subject) -> Learner:
        learner = subject.learner()
        if subject is wrong:
            learner.model.layers["bn"].eps = 1e-3
        return learner

    message = (
        r"(?s)^not the truth.*the output of 'bn' \(BatchNorm2d\) in step 0"
        r".*eps is 0.001 in .* and 1e-05 in .*layer: 'bn' \(BatchNorm2d\)"
    )
    with pytest.raises(AssertionError, match=message), place_shown(wrong, ready):
        raise AssertionError("not the truth")
    with pytest.raises(AssertionError, match="finds no place"), place_shown(right, Subject.learner):
        raise AssertionError("not the truth")

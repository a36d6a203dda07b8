"""Tables by a name of the spec have a line for every name."""

from __future__ import annotations

from importlib import import_module
from typing import Any, get_args

import pytest

from isotune.spec.head import Activation
from isotune.spec.loss import LOSSES, PROBABILITIES, LossName
from isotune.spec.parts import Precision


def test_tables_of_the_core() -> None:
    assert set(LOSSES) == set(PROBABILITIES) == set(get_args(LossName))


@pytest.mark.parametrize(
    ("framework", "module", "table", "names"),
    [
        ("torch", "loss", "LOSSES", LossName),
        ("torch", "head", "ACTIVATIONS", Activation),
        ("torch", "precision", "AUTOCAST", Precision),
        ("mindspore", "loss", "LOSSES", LossName),
        ("mindspore", "head", "ACTIVATIONS", Activation),
    ],
)
def test_tables_of_a_backend(framework: str, module: str, table: str, names: Any) -> None:
    pytest.importorskip(framework)
    lines = getattr(import_module(f"isotune_{framework}.{module}"), table)
    assert set(lines) == set(get_args(names))

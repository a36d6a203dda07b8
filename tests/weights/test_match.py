"""Weights fit a model, or every tensor that does not is named."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.weights.match import match, match_exact

ENTRY = BackboneEntry("net", "classifier.1")
SHAPES = {"conv.weight": (2, 3), "conv.bias": (2,)}


def arrays(**changes: Any) -> dict[str, Any]:
    made = {name: np.full(shape, 2.0, np.float64) for name, shape in SHAPES.items()}
    made["classifier.1.weight"] = np.ones((5, 2))
    for name, value in changes.items():
        made[name.replace("__", ".")] = value
    return made


def test_backbone_tensors_come_as_contiguous_float32() -> None:
    state = arrays(conv__weight=np.arange(6.0).reshape(3, 2).T)
    found = match(SHAPES, state, ENTRY, "a.pth")
    assert list(found) == ["conv.weight", "conv.bias"]
    np.testing.assert_array_equal(
        found["conv.weight"], np.array([[0, 2, 4], [1, 3, 5]], np.float32), strict=True
    )
    assert found["conv.weight"].flags.c_contiguous


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"classifier.1.weight": np.ones((1000, 7))},
        {"classifier.1.weight": np.ones((5, 2)), "classifier.4.bias": np.ones(3)},
    ],
)
def test_any_head_is_left_out_and_counted(
    head: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    state = {name: value for name, value in arrays().items() if name in SHAPES} | head
    with caplog.at_level(logging.INFO, logger="isotune"):
        assert list(match(SHAPES, state, ENTRY, "a.pth")) == ["conv.weight", "conv.bias"]
    assert f"a.pth: {len(head)} head tensors left out" in caplog.text


def test_layers_beside_the_classifier_can_belong_to_the_backbone() -> None:
    shapes = {**SHAPES, "classifier.0.weight": (2, 2)}
    with pytest.raises(WeightsError, match=r"1 tensor is missing: classifier.0.weight\."):
        match(shapes, arrays(), ENTRY, "a.pth")
    found = match(shapes, arrays(classifier__0__weight=np.ones((2, 2))), ENTRY, "a.pth")
    assert "classifier.0.weight" in found


def test_all_faults_are_told_at_once() -> None:
    state = arrays(conv__weight=np.ones((3, 2)), other=np.ones(1))
    del state["conv.bias"]
    with pytest.raises(WeightsError) as error:
        match(SHAPES, state, ENTRY, "a.pth")
    assert str(error.value) == (
        "'a.pth' does not fit backbone 'net': 1 tensor is missing: conv.bias;"
        " 1 tensor is unexpected: other;"
        " 1 tensor is of another shape (the file's for the model's): conv.weight (3, 2) for (2, 3)."
    )


def test_long_lists_are_cut() -> None:
    shapes = {f"layer{i}": (1,) for i in range(12)}
    with pytest.raises(WeightsError, match=r"12 tensors are missing: layer0, .*layer9, and 2 more"):
        match(shapes, {}, ENTRY, "a.pth")


def test_names_from_a_file_stay_on_one_line() -> None:
    with pytest.raises(WeightsError, match=r"unexpected: a\?b\?\[31m"):
        match(SHAPES, arrays(**{"a\nb\x1b[31m": np.ones(1)}), ENTRY, "a.pth")


def test_quantised_weights_are_told() -> None:
    state = arrays(conv__bias=np.ones(2, np.int8))
    with pytest.raises(WeightsError, match=r"not floating point: conv\.bias int8"):
        match(SHAPES, state, ENTRY, "a.pth")


def test_exact_matching_takes_the_head_too() -> None:
    shapes = {**SHAPES, "classifier.1.weight": (5, 2)}
    assert list(match_exact(shapes, arrays(), "run")) == list(shapes)
    with pytest.raises(WeightsError, match=r"classifier.1.weight \(4, 2\) for \(5, 2\)"):
        match_exact(shapes, arrays(classifier__1__weight=np.ones((4, 2))), "run")
    with pytest.raises(WeightsError, match=r"unexpected: classifier\.9\.bias"):
        match_exact(shapes, arrays(classifier__9__bias=np.ones(1)), "run")

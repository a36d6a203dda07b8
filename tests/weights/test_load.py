"""A file of any format and dialect becomes a backbone's tensors, and what was done is told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.truth import TRUTH
from isotune.catalogue.entries import catalogue
from isotune.catalogue.layouts import layout
from isotune.errors import WeightsError
from isotune.testing.values import state
from isotune.weights.formats.write import write_weights
from isotune.weights.load import fitting, load_backbone, without_head

RESNET, LENET = catalogue()["resnet18"], catalogue()["lenet"]


@pytest.fixture(scope="module")
def resnet() -> dict[str, Any]:
    return state(layout("resnet18") or {})


@pytest.mark.parametrize("suffix", ["pth", "ckpt", "safetensors"])
def test_weights_come_back_from_every_format(
    tmp_path: Path, resnet: dict[str, Any], suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"a.{suffix}"
    beside = {"moments.conv1.weight": resnet["conv1.weight"], "learning_rate": np.float32(0.1)}
    write_weights(path, {**resnet, **beside})
    with caplog.at_level(logging.INFO, logger="isotune"):
        found = load_backbone(path, RESNET, without_head(RESNET))
    assert list(found) == [name for name in resnet if not name.startswith("fc.")]
    for name, value in found.items():
        np.testing.assert_array_equal(value, resnet[name], strict=True)
    assert "2 head tensors left out: fc." in caplog.text
    (warned,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert warned.getMessage().partition(": ")[2] == (
        "left out beside the weights: 2 tensors (moments.conv1.weight, learning_rate)."
    )


def test_changed_values_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gray = {name: v for name, v in state(layout("lenet") or {}).items() if name[-6:] != "1.bias"}
    gray["conv1.weight"] = gray["conv1.weight"][:, :1]
    gray = {name: v for name, v in gray.items() if not name.startswith("conv2.b")}
    gray["fc1.bias"] = np.zeros(120, np.float32)
    write_weights(tmp_path / "a.ckpt", gray)
    with caplog.at_level(logging.WARNING, logger="isotune"):
        found = load_backbone(tmp_path / "a.ckpt", LENET, without_head(LENET))
    assert found["conv1.weight"].shape == (6, 3, 5, 5)
    assert not found["conv1.bias"].any()
    assert "'conv1.weight' is for gray images" in caplog.text
    assert "2 convolutions have no biases" in caplog.text


def test_what_does_not_fit_is_told_with_what_it_fits(
    tmp_path: Path, resnet: dict[str, Any]
) -> None:
    path = tmp_path / "a.ckpt"
    write_weights(path, resnet)
    other = catalogue()["resnet34"]
    with pytest.raises(WeightsError, match=r"layer1\.2\.conv1\.weight.* It fits .*'resnet18'\.$"):
        load_backbone(path, other, without_head(other))


def test_an_unknown_dialect_lists_the_first_names_of_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_weights(path, {"stem.kernel": np.ones(3), "stem.scale": np.ones(3)})
    with pytest.raises(WeightsError) as error:
        load_backbone(path, RESNET, without_head(RESNET))
    said = str(error.value)
    assert "100 tensors are missing: conv1.weight, bn1.weight, " in said
    assert "2 tensors are unexpected: stem.kernel, stem.scale." in said
    assert "It fits" not in said


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_every_backbone_is_told_from_all_others(name: str) -> None:
    shapes = layout(name) or {}
    tensors = {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()}
    assert [entry.name for entry in fitting(tensors)] == [name]
    no_head = {key: v for key, v in tensors.items() if key in without_head(catalogue()[name])}
    assert [entry.name for entry in fitting(no_head)] == [name]

"""Comparing what a backend really computes: as it is, in another order, and with one fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.nets import ENTRIES
from isotune import hookimpl
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.recording.record import record
from isotune.equivalence.recording.steps import Recording
from isotune.equivalence.traces.trace import Trace
from isotune.interfaces.backbone import BackboneEntry
from isotune.spec.load import load_spec
from numpy_backend.backbone import Net, linear_layer
from numpy_backend.layers import Activation, Array, BatchNorm, Conv, Flatten, Linear
from tiny import experiment, make_images, numpy_plugins


def build() -> Net:
    generator = np.random.default_rng(0)
    return Net(
        conv=Conv(0.3 * generator.standard_normal((4, 3, 3, 3), np.float32), 1),
        bn=BatchNorm(4),
        relu=Activation("relu"),
        flatten=Flatten(),
        fc=linear_layer(4 * 8 * 8, 3),
    )


class Small:
    @hookimpl
    def isotune_backbones(self) -> list[BackboneEntry]:
        return [replace(ENTRIES["tiny_bn"], name="small", builders={"numpy": build})]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def traced(images: Path, **changes: Any) -> Trace:
    fields = {
        "epochs": 2,
        "backbone": {"name": "small", "weights": "none"},
        "optimizer": {"name": "sgd", "lr": 0.1},
    }
    spec = load_spec(experiment(images, **{**fields, **changes}))
    plugins = numpy_plugins()
    plugins.register(Small())
    return record(spec, "numpy", "cpu", plugins, Recording(drift=3))


@pytest.fixture(scope="module")
def clean(images: Path) -> Trace:
    return traced(images)


def in_another_order(layer: Linear, x: Array) -> Array:
    layer.x = x
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    return np.asarray(np.ascontiguousarray(x[:, ::-1]) @ weight[:, ::-1].T + bias)


def biased(layer: BatchNorm, x: Array) -> None:
    for running, new in zip(
        layer.statistics.values(), (x.mean((0, 2, 3)), x.var((0, 2, 3))), strict=True
    ):
        running += np.float32(layer.momentum) * (new - running)


def without_bias(layer: Linear, x: Array) -> Array:
    layer.x = x
    return np.asarray(x @ layer.parameters["weight"].T)


def halved(layer: Linear, gradient: Array) -> Array:
    layer.gradients = {"weight": gradient.T @ layer.x, "bias": gradient.sum(0)}
    return np.asarray(gradient @ layer.parameters["weight"] / 2, np.float32)


def test_another_order_of_a_sum_is_rounding(
    images: Path, clean: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compare(clean, clean).verdict == "equal"
    monkeypatch.setattr(Linear, "forward", in_another_order)
    other = traced(images)
    step = compare(clean, other)
    assert (step.verdict, step.place) == ("equal", None)
    assert any(value.difference > 0 for value in step.steps[0].values)


@pytest.mark.parametrize(
    ("layer", "attribute", "wrong", "stage", "path"),
    [
        (BatchNorm, "eps", 1e-3, "forward", "bn"),
        (BatchNorm, "momentum", 0.9, "state", "bn"),
        (BatchNorm, "keep", biased, "state", "bn"),
        (Linear, "forward", without_bias, "forward", "fc"),
        (Linear, "backward", halved, "backward", "fc"),
    ],
)
def test_a_fault_is_found_in_its_layer(
    layer: type,
    attribute: str,
    wrong: object,
    stage: str,
    path: str,
    images: Path,
    clean: Trace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layer, attribute, wrong)
    found = compare(clean, traced(images))
    assert found.place is not None and found.verdict == "differs"
    assert (found.place.stage, found.place.path) == (stage, path)


@pytest.mark.parametrize(
    ("optimizer", "wrong"),
    [
        ({"name": "sgd", "weight_decay": 0.1}, {"weight_decay": 0.0}),
        ({"name": "sgd", "momentum": 0.9, "nesterov": True}, {"nesterov": False}),
        ({"name": "adamw", "weight_decay": 0.1}, {"name": "adam"}),
        ({"name": "sgd"}, {"lr": 0.101}),
    ],
)
def test_a_fault_of_the_optimizer_is_found_in_the_update(
    optimizer: dict[str, Any], wrong: dict[str, Any], images: Path
) -> None:
    right = {"lr": 0.1, **optimizer}
    one, other = traced(images, optimizer=right), traced(images, optimizer={**right, **wrong})
    found = compare(one, replace(other, experiment=one.experiment)).place
    assert found is not None and found.stage == "update"

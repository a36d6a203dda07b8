"""Which backbone is taken, by weights that are there, a network or none, and measured speed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import isotune.fitting.select
from isotune.catalogue.entries import catalogue
from isotune.catalogue.layouts import layout
from isotune.errors import WeightsError
from isotune.fitting.backbones import Candidate, candidates
from isotune.fitting.look import Data
from isotune.fitting.measure import Machine
from isotune.fitting.select import Selection
from tiny import numpy_plugins

DATA = Data(
    {"path": "images"}, ("a", "b"), (500, 500), 800, 200, False, 1000, 0, side=300.0, long=0.0
)


def named(name: str, present: bool) -> Candidate:
    entry = catalogue()[name]
    weights = entry.weights["imagenet"]
    return Candidate(entry, "imagenet", weights.accuracy, weights.gflops, present)


KNOWN = [named("convnext_tiny", False), named("resnet50", True), named("resnet18", True)]
"""The most accurate first, as :func:`candidates` has them; a third of the cost each."""


class World:
    """What a selection meets: a device of a given speed, and a network or none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, known: list[Candidate]) -> None:
        self.measured: list[str] = []
        self.online, self.seconds_per_gflop = True, 0.001
        monkeypatch.setattr(isotune.fitting.select, "candidates", lambda *_: known)
        monkeypatch.setattr(isotune.fitting.select, "measure", self._measure)
        monkeypatch.setattr(isotune.fitting.select, "locate_weights", self._locate)

    def _measure(self, candidate: Candidate, *_: Any) -> Machine:
        self.measured.append(candidate.name)
        forward = (candidate.gflops or 1.0) * self.seconds_per_gflop
        return Machine("numpy", "cpu", 2, ("fp32",), forward, first=0.0)

    def _locate(self, *_: Any) -> None:
        if not self.online:
            raise WeightsError("it cannot be reached.")

    def best(self, seconds: float) -> str:
        plugins = numpy_plugins()
        backend = plugins.open_backend("numpy")
        return Selection(DATA, backend, plugins, lambda: 0.0).best(seconds)[0].name


def test_the_most_accurate_backbone_is_taken_that_time_and_network_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, KNOWN)
    assert world.best(300.0) == "convnext_tiny"
    world.online = False
    assert world.best(300.0) == "resnet50"
    world.measured.clear()
    assert world.best(10.0) == "resnet18"
    assert world.measured == ["resnet18"], "others are too slow by their operations"
    world.seconds_per_gflop = 1.0
    assert world.best(1.0) == "resnet18", "nothing fits: the cheapest is taken"


def test_without_weights_and_network_a_network_is_trained_from_scratch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(monkeypatch, [replace(KNOWN[0], present=False)])
    assert world.best(300.0) == "convnext_tiny"
    world.online = False
    assert world.best(300.0) == "linear"
    assert "it cannot be reached" in caplog.text


def test_files_of_weights_count_where_nothing_published_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path))
    monkeypatch.setattr("isotune.fitting.backbones._builds", lambda _, entry: entry.name == "lenet")
    folder = tmp_path / "weights"
    folder.mkdir()
    shapes = layout("lenet") or {}
    save_file({n: np.ones(s, np.float32) for n, s in shapes.items()}, folder / "mine.safetensors")
    (folder / "other.pth").write_text("no weights")
    plugins = numpy_plugins()
    (found,) = candidates(plugins.open_backend("numpy"), plugins)
    assert (found.name, found.weights, found.present) == ("lenet", "mine.safetensors", True)

from __future__ import annotations

from pathlib import Path

import pytest

import isotune
from isotune.experiment.result import Run
from tiny import experiment, make_images, numpy_plugins


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of one epoch on images in ``images``, with some mistakes."""
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    spec = experiment(make_images(tmp_path / "images", val=6), epochs=1)
    output = tmp_path / "run"
    return isotune.run(spec, backend="numpy", output=output, plugins=numpy_plugins())

"""A tiny run that is exported."""

from __future__ import annotations

from pathlib import Path

import pytest

import isotune
from isotune.experiment.result import Run
from tiny import experiment, make_images


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A LeNet of torch that was trained for one epoch."""
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("exported")
    spec = experiment(
        make_images(root / "images"),
        backbone={"name": "lenet", "weights": "none"},
        transforms={"val": [{"resize": 40}, {"center_crop": 32}]},
        epochs=1,
    )
    return isotune.run(spec, backend="torch", output=root / "run")


def images(run: Run) -> list[Path]:
    """Returns the validation images of a tiny run."""
    return sorted(Path(run.spec.dataset.path).glob("val/*/*.png"))

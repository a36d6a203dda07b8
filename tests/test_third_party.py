"""A third party's backbone, registered through a hook, trains on both backends."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from isotune.experiment.result import Run
from isotune.models.initial import initial_state
from isotune.runs.checkpoints import CheckpointStore
from tiny import experiment, make_images
from zoo import FRAMEWORKS, run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def runs(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Returns a run on the backend that is named: its stem trains later, and slower."""
    root = tmp_path_factory.mktemp("runs")
    spec = experiment(
        images,
        backbone={"name": "tiny_bn", "weights": "none"},
        freeze={"parameters": "backbone", "unfreeze": {2: "stem"}},
        optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9, "lr_decay_per_stage": 0.5},
        checkpoint={"every_epochs": 1, "keep": 3},
        epochs=3,
    )
    return cache(lambda backend: run(backend, spec, root / backend))


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_its_stages_are_unfrozen_one_by_one(backend: str, runs: Callable[[str], Run]) -> None:
    found = runs(backend)
    store = CheckpointStore(found.folder.checkpoints)
    first, second, last = (store.load(name).model for name in store.index().kept)
    initial = initial_state({"conv.weight": (4, 3, 3, 3)}, found.spec.seed)
    assert (first["conv.weight"] == initial["conv.weight"]).all()
    assert (second["conv.weight"] != first["conv.weight"]).any()
    assert (last["fc.weight"] != second["fc.weight"]).any()


def test_both_backends_train_it_alike(runs: Callable[[str], Run], images: Path) -> None:
    one, other = (runs(backend) for backend in FRAMEWORKS)
    for a, b in zip(one.history, other.history, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, abs=1e-5)
        assert a.val_loss == pytest.approx(b.val_loss, abs=1e-5)
    files = sorted((images / "val").rglob("*.png"))
    features = [each.features(files) for each in (one, other)]
    assert features[0].shape == (len(files), 4)
    np.testing.assert_allclose(*features, atol=1e-5)

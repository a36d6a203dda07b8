"""Whole experiments on mixed images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import isotune
from isotune.data.images import open_images
from isotune.experiment.result import Run
from isotune.interfaces.dataset import Normalization
from isotune.interfaces.events import RunStarted
from isotune.spec.load import load_spec
from isotune.spec.loss import LOSSES
from isotune.testing.reference.trainer import normalized
from several_labels import make_table, several
from tiny import experiment, make_images, numpy_plugins

MIXING = {"mixup": 1.0, "cutmix": 1.0, "probability": 0.8}
SETTINGS: dict[str, Any] = {
    "mixing": MIXING,
    "accumulate": 2,
    "optimizer": {"name": "sgd", "lr": 1e-30},  # the weights stay as they are
    "epochs": 1,
}
WEIGHTS = {"ants": 0.5, "bees": 3.0, "cats": 1.25}


def trained(spec: dict[str, Any], output: Path) -> Run:
    return isotune.run(spec, backend="numpy", output=output, plugins=numpy_plugins())


def first_epoch(run: Run, spec: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the logits and targets of an epoch's images, by weights that never changed."""
    loaded = load_spec(spec)
    batches = list(open_images(loaded).training_batches(loaded).epoch(0))
    assert run.spec.normalization is not None
    usual = Normalization(run.spec.normalization.mean, run.spec.normalization.std)
    images = normalized(np.concatenate([batch.images for batch in batches]), usual)
    state = run.backend.state_adapter.export_model(run.model)
    logits = images.reshape(len(images), -1) @ state["fc.weight"].T + state["fc.bias"]
    targets = np.concatenate([batch.labels for batch in batches])
    assert ((targets > 0) & (targets < 1)).any()
    return logits.astype(np.float32), targets.astype(np.float32)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_accuracy_are_those_of_the_shares(name: str, tmp_path: Path) -> None:
    loss = {"name": name, "label_smoothing": 0.1, "class_weights": WEIGHTS}
    spec = experiment(make_images(tmp_path / "images"), loss=loss, **SETTINGS)
    run = trained(spec, tmp_path / "run")
    logits, targets = first_epoch(run, spec)
    weights = np.array([*WEIGHTS.values()], np.float32)
    total, weight = LOSSES[name](logits, targets, 0.1, weights)  # type: ignore[index]
    [metrics] = run.history
    assert metrics.train_loss == pytest.approx(total / weight, rel=1e-5)
    assert metrics.train_accuracy == (logits.argmax(1) == targets.argmax(1)).mean()
    assert run.evaluate().labels.dtype == np.int32


def test_several_labels_are_mixed_as_they_are(tmp_path: Path) -> None:
    loss = {"label_smoothing": 0.1, "class_weights": "balanced"}
    spec = several(make_table(tmp_path / "images"), loss=loss, **SETTINGS)
    run = trained(spec, tmp_path / "run")
    logits, targets = first_epoch(run, spec)
    weights = run.plan.class_weights
    total, weight = LOSSES["binary_cross_entropy"](logits, targets, 0.1, weights, True)
    [metrics] = run.history
    assert metrics.train_loss == pytest.approx(total / weight, rel=1e-5)
    assert metrics.train_accuracy == ((logits >= 0) == (targets > 0.5)).mean()


@pytest.mark.parametrize("mixing", [None, MIXING], ids=["plain", "mixed"])
def test_features_of_mixed_images_are_not_cached(
    mixing: dict[str, float] | None, tmp_path: Path
) -> None:
    """With a frozen backbone, the whole model runs: a cached feature is of one image."""
    pytest.importorskip("torch")
    said: list[str | None] = []

    class Noted:
        def isotune_run_started(self, event: RunStarted) -> None:
            said.append(event.features)

    spec = experiment(
        make_images(tmp_path / "images", size=32),
        backbone={"name": "lenet", "weights": "none"},
        transforms={"train": [{"resize": [32, 32]}], "val": [{"resize": [32, 32]}]},
        freeze="backbone",
        mixing=mixing,
        epochs=1,
    )
    run = isotune.run(
        spec, backend="torch", device="cpu", output=tmp_path / "run", observers=[Noted()]
    )
    assert said == (["computed once"] if mixing is None else [None])
    assert run.history[0].train_loss > 0

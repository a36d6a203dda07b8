"""Averages of the weights: what they are, and that everything made of a run is of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import isotune
from isotune.errors import IsotuneError
from isotune.experiment.result import Run
from isotune.exporting.card.card import make_card
from isotune.exporting.card.markdown import as_markdown
from isotune.runs.checkpoints import CheckpointStore
from isotune.spec.ema import EmaSpec
from isotune.testing.subject import in_bytes
from isotune.weights.formats.read import read_weights
from stopping import demanding, forged, resume, stopped
from tiny import make_images, numpy_plugins
from zoo import run

KEPT = {"every_steps": 1, "keep": 100, "save_best_as": "best.safetensors", "monitor": "val_loss"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"), size=12)


@pytest.fixture(scope="module")
def averaged(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    spec = demanding("numpy", images, ema={"decay": 0.5}, checkpoint=KEPT, evaluation={})
    return run("numpy", spec, tmp_path_factory.mktemp("run"))


def test_the_decay_warms_up() -> None:
    assert EmaSpec().decay_at(0) == 0.1
    assert EmaSpec(decay=0.5).decay_at(7) == pytest.approx(8 / 17)
    assert EmaSpec(decay=0.5).decay_at(8) == EmaSpec(decay=0.5).decay_at(10**6) == 0.5
    assert EmaSpec(decay=0.5, warm_up=False).decay_at(0) == 0.5


@pytest.mark.parametrize(("accumulate", "updates"), [(1, 12), (2, 8)])
def test_checkpoints_have_the_average_of_all_updates(
    accumulate: int, updates: int, images: Path, averaged: Run, tmp_path: Path
) -> None:
    """An epoch of three steps ends in an update of one, where two are accumulated."""
    folder = averaged.folder
    if accumulate > 1:
        spec = {**averaged.spec.model_dump(mode="json"), "accumulate": accumulate}
        folder = run("numpy", spec, tmp_path).folder
    store = CheckpointStore(folder.checkpoints)
    first, *others = [store.load(name) for name in store.index().kept]
    assert len(others) == updates - 1
    assert first.average is not None
    average = {name: value.astype(np.float64) for name, value in first.average.items()}
    for number, checkpoint in enumerate(others, 1):
        decay = min(0.5, (1 + number) / (10 + number))
        for name, value in checkpoint.model.items():
            average[name] = decay * average[name] + (1 - decay) * value
            np.testing.assert_allclose(checkpoint.weights[name], average[name], 1e-5, 1e-7)


def test_everything_that_is_made_of_a_run_is_of_the_averages(averaged: Run, tmp_path: Path) -> None:
    """And the metrics of each epoch are those of its averages."""
    store = CheckpointStore(averaged.folder.checkpoints)
    best = store.load("best")
    assert best.average is not None
    expected = in_bytes(best.average)
    assert expected != in_bytes(best.model)
    assert best.manifest.weights == "average"
    assert in_bytes(averaged.backend.state_adapter.export_model(averaged.model)) == expected
    assert in_bytes(read_weights(averaged.path / "best.safetensors")) == expected
    isotune.convert(averaged.path, tmp_path / "it.safetensors", plugins=numpy_plugins())
    assert in_bytes(read_weights(tmp_path / "it.safetensors")) == expected
    for metrics in averaged.history:
        name = f"epoch-{metrics.epoch:04d}"
        opened = isotune.open_run(averaged.path, checkpoint=name, plugins=numpy_plugins())
        assert opened.evaluate().loss == pytest.approx(metrics.val_loss, rel=1e-6)
        opened.backend.state_adapter.import_model(opened.model, store.load(name).model)
        assert opened.evaluate().loss != pytest.approx(metrics.val_loss, rel=1e-4)
    text = as_markdown(make_card(averaged))
    assert "exponential moving averages, with decay 0.5, of those that were trained" in text
    assert best.manifest.sha256["average.safetensors"] in text


@pytest.mark.parametrize(
    ("averages", "says"),
    [
        (None, r"checkpoint.json: is damaged: it has no averages of the weights, but .* has ema"),
        ({"fc.weight": 0.0}, r"average.safetensors' does not fit"),
        ({"fc.weight": np.nan, "fc.bias": 0.0}, "'fc.weight' has values that are not finite"),
    ],
)
def test_averages_that_disagree_with_the_experiment_are_refused(
    averages: dict[str, float] | None, says: str, images: Path, tmp_path: Path
) -> None:
    folder = stopped(images, tmp_path)
    last = CheckpointStore(folder / "checkpoints").load("last")
    if averages is None:
        manifest = last.manifest.model_copy(update={"weights": "model"})
        forged(folder, average=None, manifest=manifest)
    else:
        filled = {name: np.full_like(last.model[name], v) for name, v in averages.items()}
        forged(folder, average=filled)
    with pytest.raises(IsotuneError, match=says):
        resume("numpy", folder)

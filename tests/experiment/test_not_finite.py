"""Values that are not finite: in training, in checkpoints of earlier versions, in monitors."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.errors import RunError, TrainingError
from isotune.interfaces.checkpoint import not_finite
from isotune.runs.checkpoint import read_checkpoint
from isotune.runs.checkpoints import CheckpointStore
from made_runs import write_checkpoint
from tiny import experiment, make_images
from zoo import plugins, run


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        ("torch", r"loss became nan in epoch 1, and .* is in '\w+\.\w+'; a smaller optimizer.lr"),
        ("mindspore", r"^'\w+\.\w+' has values that are not finite \(.*\) in epoch 2; a smaller"),
    ],
)
def test_a_run_that_diverges_stops_and_keeps_what_is_finite(
    backend: str, says: str, tmp_path: Path
) -> None:
    """MindSpore's ReLU turns NaN into 0: the losses of all three epochs are finite there."""
    images = make_images(tmp_path / "images", train=4, size=32)
    pipelines = {"train": [{"resize": [32, 32]}], "val": [{"resize": [32, 32]}]}
    spec = experiment(
        images,
        transforms=pipelines,
        backbone={"name": "lenet", "weights": "none"},
        batch_size=12,
        optimizer={"name": "sgd", "lr": 1e20},
        epochs=3,
        checkpoint={"save_best_as": "best.pth"},
    )
    with pytest.raises(TrainingError, match=says):
        run(backend, spec, tmp_path / "run")
    store = CheckpointStore(tmp_path / "run/checkpoints")
    for name in store.index().names:
        assert not_finite(store.load(name).model) is None


def poison(folder: Path, tensor: str, value: float) -> None:
    """Gives a tensor of a checkpoint a value, as a version that did not check it would save."""
    checkpoint = read_checkpoint(folder)
    checkpoint.model[tensor].flat[-1] = value
    shutil.rmtree(folder)
    folder.mkdir()
    write_checkpoint(folder, checkpoint)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("use", ["open", "resume"])
def test_an_earlier_checkpoint_that_is_not_finite_is_refused_by_name(
    use: str, value: float, tmp_path: Path
) -> None:
    images, folder = make_images(tmp_path / "images"), tmp_path / "run"
    run("numpy", experiment(images, checkpoint={"monitor": "val_loss"}), folder)
    index = CheckpointStore(folder / "checkpoints").index()
    assert index.best == index.last == "epoch-0002"
    poison(folder / "checkpoints/epoch-0002", "fc.weight", value)
    uses: dict[str, Callable[..., Any]] = {
        "open": isotune.open_run,
        "resume": lambda path, **how: isotune.resume(path, overrides=["epochs=3"], **how),
    }
    says = (
        r"epoch-0002: 'fc.weight' has values that are not finite \(NaN or infinity\).*"
        r" epoch-0001 has none: --checkpoint epoch-0001 uses it"
    )
    with pytest.raises(RunError, match=says):
        uses[use](folder, plugins=plugins("numpy"))
    used = uses[use](folder, checkpoint="epoch-0001", plugins=plugins("numpy"))
    assert np.isfinite(used.evaluate().logits).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"fc.bias": math.nan}, "'fc.bias' has values that are not finite"),
        ({"fc.bias": 1e38, "fc.weight": 3e38}, r"the largest value .*, 3e\+38, is in 'fc.weight'"),
    ],
)
def test_outputs_that_are_not_finite_are_refused(
    values: dict[str, float], says: str, tmp_path: Path
) -> None:
    images = make_images(tmp_path / "images")
    finished = run("numpy", experiment(images), tmp_path / "run")
    for name, value in values.items():
        finished.model.parameters()[name].fill(value)
    for use in (finished.evaluate, lambda: finished.predict(images / "val/ants/0.png")):
        with pytest.raises(RunError, match=f"the model's outputs are not finite: {says}"):
            use()

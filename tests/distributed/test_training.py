"""Training over processes: their number does not decide the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.experiment.run import run
from isotune.runs.checkpoints import CheckpointStore
from tiny import experiment, make_images, numpy_plugins

TIMES = ("seconds", "data_seconds", "train_seconds", "val_seconds", "step_ms")

LAYERS: dict[str, Any] = {
    "head": {"name": "mlp", "hidden": 6, "dropout": 0.5},
    "loss": {"name": "cross_entropy", "class_weights": "balanced"},
    "clip_grad_norm": 0.5,
    "ema": {"decay": 0.9},
}
"""Fields of a spec by which much depends on the composition of a batch."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 15 training images, the last batch of 4 has 3, and of 4 shards one is empty."""
    return make_images(tmp_path_factory.mktemp("images"), train=5)


@pytest.mark.parametrize(
    "changes",
    [{}, {"accumulate": 2, "mixing": {"mixup": 0.4, "cutmix": 1.0}}, {"freeze": "backbone"}],
)
def test_shards_without_layers_that_look_at_them_change_nothing(
    images: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    common = {"clip_grad_norm": 0.5, "loss": LAYERS["loss"], "ema": LAYERS["ema"], **changes}
    states, losses = [], []
    for shards in (1, 2, 3, 4):
        spec = experiment(images, shards=shards, **common)
        done = run(spec, backend="numpy", output=tmp_path / str(shards), plugins=numpy_plugins())
        states.append(CheckpointStore(done.folder.checkpoints).load("last").model)
        losses.append([list(epoch.values.values()) for epoch in done.history])
    for other in states[1:]:
        for name, value in states[0].items():
            np.testing.assert_allclose(other[name], value, rtol=1e-4, atol=1e-6)
    for each in losses[1:]:
        np.testing.assert_allclose(each, losses[0], rtol=1e-5)

"""Training over processes, which are threads here: their number does not decide the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.experiment.run import run
from isotune.interfaces.communicator import Communicator
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from threads import plugins_of, with_communicators
from tiny import experiment, make_images

EVERYTHING: dict[str, Any] = {
    "backbone": {"name": "small", "weights": "none"},
    "head": {"name": "mlp", "hidden": [6], "dropout": 0.5},
    "loss": {"name": "cross_entropy", "class_weights": "balanced"},
    "clip_grad_norm": 0.5,
    "ema": {"decay": 0.9},
    "eval_batch_size": 2,
}
"""Fields of a spec by which much depends on the composition of a batch."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 15 training images, the last batch of 4 has 3, and of 4 shards one is empty."""
    return make_images(tmp_path_factory.mktemp("images"), train=5)


def results(folder: Path) -> tuple[dict[str, bytes], list[dict[str, float]]]:
    """Returns the bytes of a run's last checkpoint, and the metrics of its epochs."""
    last = CheckpointStore(folder / "checkpoints").load("last")
    states = {"model": last.model, "optimizer": last.optimizer, "average": last.average or {}}
    tensors = {
        f"{kind} {name}": value.tobytes()
        for kind, state in states.items()
        for name, value in state.items()
    }
    return tensors, [epoch.values for epoch in RunFolder(folder).history()]


def together(
    spec: dict[str, Any], processes: int, output: Path, observers: list[Any] | None = None
) -> list[Any]:
    """Trains in several processes; observers[n] observes process n."""

    def work(communicator: Communicator) -> Any:
        mine = [] if observers is None else [observers[communicator.place.rank]]
        plugins = plugins_of(communicator)
        return run(spec, backend="numpy", output=output, plugins=plugins, observers=mine)

    return with_communicators(work, processes)


def trained(spec: dict[str, Any], processes: int, output: Path) -> Path:
    for each in together(spec, processes, output):
        if isinstance(each, Exception):
            raise each
    return output


@pytest.mark.parametrize(
    "changes",
    [{}, {"accumulate": 2, "mixing": {"mixup": 0.4, "cutmix": 1.0}}],
)
def test_shards_without_layers_that_look_at_them_change_nothing(
    images: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    common = {"clip_grad_norm": 0.5, "loss": EVERYTHING["loss"], "ema": {}, **changes}
    states, losses = [], []
    for shards in (1, 2, 3, 4):
        folder = trained(experiment(images, shards=shards, **common), 1, tmp_path / str(shards))
        states.append(CheckpointStore(folder / "checkpoints").load("last").model)
        losses.append([list(epoch.values.values()) for epoch in RunFolder(folder).history()])
    for other in states[1:]:
        for name, value in states[0].items():
            np.testing.assert_allclose(other[name], value, rtol=1e-4, atol=1e-6)
    for each in losses[1:]:
        np.testing.assert_allclose(each, losses[0], rtol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 2, "mixing": {"mixup": 0.4, "cutmix": 1.0}},
        {"freeze": "backbone", "cache": {"views": 2}},
        {"freeze": "backbone"},
    ],
    ids=["mixing", "features", "features of every epoch"],
)
def test_one_two_and_four_processes_come_to_the_same_bytes(
    images: Path, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run has an empty home, in which it finds no features."""
    spec, found = experiment(images, shards=4, **{**EVERYTHING, **changes}), []
    for processes in (1, 2, 4):
        monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / f"home-{processes}"))
        folder = trained(spec, processes, tmp_path / str(processes))
        names = {path.name for path in tmp_path.glob(f"home-{processes}/cache/features/*.features")}
        found.append((*results(folder), names))
    assert found == [found[0]] * 3


def test_processes_that_share_a_shard_differ_by_rounding(images: Path, tmp_path: Path) -> None:
    spec = experiment(images, **{**EVERYTHING, "backbone": {"name": "linear", "weights": "none"}})
    folders = [trained(spec, n, tmp_path / str(n)) for n in (1, 3)]
    one, three = (CheckpointStore(each / "checkpoints").load("last").model for each in folders)
    for name, value in one.items():
        np.testing.assert_allclose(three[name], value, rtol=1e-4, atol=1e-6)

"""Training over processes, which are threads here: their number does not decide the result."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.data.reader import ImageReader
from isotune.errors import DatasetError, LostProcessError, StoppedError
from isotune.experiment.resume import resume
from isotune.experiment.run import run
from isotune.interfaces.communicator import Alone, Communicator
from isotune.interfaces.events import StepEnded
from isotune.interfaces.trainer import StepPlan
from isotune.plugins import Plugins
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.training.agreement import Agreement
from numpy_backend.trainer import NumpyTrainer
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


def test_processes_that_share_a_shard_differ_by_rounding(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each image is decoded once, whichever of them needs it in later epochs."""
    decoded, prepare = list[str](), ImageReader._prepared

    def counted(self: ImageReader, index: int) -> Any:
        decoded.append(self.source.identify(index))
        return prepare(self, index)

    monkeypatch.setattr(ImageReader, "_prepared", counted)
    spec = experiment(images, **{**EVERYTHING, "backbone": {"name": "linear", "weights": "none"}})
    folders = [trained(spec, n, tmp_path / str(n)) for n in (1, 3)]
    assert len(set(decoded)) == 21
    assert sorted(decoded) == sorted([*set(decoded)] * 2)
    one, three = (CheckpointStore(each / "checkpoints").load("last").model for each in folders)
    for name, value in one.items():
        np.testing.assert_allclose(three[name], value, rtol=1e-4, atol=1e-6)


def test_images_that_turn_out_to_be_broken_are_left_out_as_by_one_process(
    images: Path, tmp_path: Path
) -> None:
    """Others move up in validation, into batches of other processes."""
    shutil.copytree(images, tmp_path / "images")
    for name in ("train/bees/1.png", "val/ants/0.png", "val/cats/1.png"):
        (tmp_path / "images" / name).write_bytes(b"broken")
    dataset = {
        "path": str(tmp_path / "images"),
        "check": "during_training",
        "broken": "skip",
    }
    spec = experiment(images, shards=2, **EVERYTHING, dataset=dataset)
    one, two = (results(trained(spec, n, tmp_path / str(n))) for n in (1, 2))
    assert two == one
    skipped = [RunFolder(tmp_path / n).summary().skipped for n in ("1", "2")]
    assert [(each.train, each.val) for each in skipped] == [(1, 2)] * 2


def test_a_broken_image_ends_all_processes_saved_after_the_same_update(
    images: Path, tmp_path: Path
) -> None:
    """Whichever of them finds it, by training or by the check beside it, and however soon."""
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "images" / "val" / "cats" / "1.png").write_bytes(b"broken")
    dataset = {"path": str(tmp_path / "images"), "check": "during_training"}
    ended = together(
        experiment(images, shards=2, **EVERYTHING, dataset=dataset), 2, tmp_path / "run"
    )
    assert [type(each) for each in ended] == [DatasetError] * 2
    assert str(ended[0]) == str(ended[1])
    assert "1.png: " in str(ended[0])
    assert "repair it, or set dataset.broken to 'skip'. The run stopped after step" in str(ended[0])
    assert RunFolder(tmp_path / "run").summary().state == "failed"


def asked(monkeypatch: pytest.MonkeyPatch, rank: int, agreements: int) -> None:
    """Asks a process to stop after it has agreed so many times."""
    reach = Agreement.reach

    def counted(self: Any, more: bool = True) -> bool:
        self.count = getattr(self, "count", 0) + 1
        if self._group.place.rank == rank and self.count > agreements:
            self._own.request("SIGTERM")
        return reach(self, more)

    monkeypatch.setattr(Agreement, "reach", counted)


@pytest.mark.parametrize(("agreements", "steps"), [(2, 2), (3, 4), (4, 4), (8, 8)])
def test_a_stop_asked_of_any_process_stops_all_at_the_same_update(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    agreements: int,
    steps: int,
) -> None:
    """Epochs have 4 steps and 2 updates; the fifth agreement is after the end of the first."""
    spec = experiment(images, shards=4, accumulate=2, **{**EVERYTHING, "epochs": 3})
    trained(spec, 1, tmp_path / "never stopped")
    with monkeypatch.context() as patched:
        asked(patched, 1, agreements)
        ended = together(spec, 2, tmp_path / "run")
    assert [type(each) for each in ended] == [StoppedError] * 2
    assert f"stopped by SIGTERM after step {steps}," in str(ended[0])
    assert str(ended[1]) == str(ended[0])
    resume(tmp_path / "run", plugins=alone())
    assert results(tmp_path / "run") == results(tmp_path / "never stopped")


def alone() -> Plugins:
    return plugins_of(Alone())


class Failing:
    """An observer that fails at a step."""

    def isotune_step_ended(self, event: StepEnded) -> None:
        if event.step == 2:
            raise ValueError("no")


def test_an_error_in_one_process_ends_all(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = experiment(images, shards=4, **EVERYTHING)
    ended = together(spec, 2, tmp_path / "observed", [Failing(), None])
    assert [type(each) for each in ended] == [ValueError, LostProcessError]
    assert str(ended[1]).startswith("process 0 failed: ValueError: no")

    decode, step = ImageReader.image, NumpyTrainer.train_step

    def broken(self: ImageReader, epoch: int, index: int, earlier: int = 0) -> Any:
        if epoch == 1 and "bees" in self.source.identify(index):
            raise DatasetError("bees.png: is gone.")
        return decode(self, epoch, index, earlier)

    with monkeypatch.context() as patched:
        patched.setattr(ImageReader, "image", broken)
        ended = together(spec, 4, tmp_path / "decoded")
    assert {(type(each), str(each)) for each in ended} == {(DatasetError, "bees.png: is gone.")}

    def fails(self: NumpyTrainer, batch: Any, plan: StepPlan) -> Any:
        if plan.step == 5 and plan.part is not None and plan.part.index == 3:
            raise MemoryError("no room")
        return step(self, batch, plan)

    with monkeypatch.context() as patched:
        patched.setattr(NumpyTrainer, "train_step", fails)
        ended = together(spec, 2, tmp_path / "stepped")
    assert [type(each) for each in ended] == [LostProcessError, MemoryError]

"""Observers are notified of every end of a run, and may ask it to stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import isotune
from isotune.errors import StoppedError, TrainingError
from isotune.interfaces.events import EpochEnded, RunEnded, RunStarted
from tiny import experiment, make_images, numpy_plugins


class Resource:
    """Opens something when a run starts, and closes it when the run ends."""

    def __init__(self) -> None:
        self.open = False
        self.ends: list[RunEnded] = []

    def isotune_run_started(self, event: RunStarted) -> None:
        self.open = True

    def isotune_run_ended(self, event: RunEnded) -> None:
        self.open = False
        self.ends.append(event)


class Stopper(Resource):
    """Asks the run to stop after its first epoch."""

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        event.stop.request("an observer")


class Broken(Resource):
    """Fails where an observer may fail, even at the end."""

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        raise ValueError("a bug in an observer")

    def isotune_run_ended(self, event: RunEnded) -> None:
        super().isotune_run_ended(event)
        raise ValueError("a bug at the end")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_images(tmp_path / "images")


def run(images: Path, output: Path, observers: list[Any], **changes: Any) -> isotune.Run:
    spec = experiment(images, **changes)
    return isotune.run(
        spec, backend="numpy", output=output, observers=observers, plugins=numpy_plugins()
    )


def test_a_finished_run_ends_with_its_summary(images: Path, tmp_path: Path) -> None:
    resource = Resource()
    found = run(images, tmp_path / "run", [resource])
    [end] = resource.ends
    assert (resource.open, end.status, end.error) == (False, "finished", None)
    assert end.folder == found.path
    assert end.summary == json.loads((found.path / "summary.json").read_text())


def test_a_run_that_an_observer_stops_ends_stopped_and_resumes(
    images: Path, tmp_path: Path
) -> None:
    stopper, folder = Stopper(), tmp_path / "run"
    with pytest.raises(StoppedError, match="stopped by an observer after step 3") as raised:
        run(images, folder, [stopper], epochs=3)
    [end] = stopper.ends
    assert (stopper.open, end.status, end.error) == (False, "stopped", raised.value)
    resumed = isotune.resume(folder, plugins=numpy_plugins())
    whole = run(images, tmp_path / "whole", [], epochs=3)
    assert [m.train_loss for m in resumed.history] == [m.train_loss for m in whole.history]


def test_a_run_that_fails_ends_failed(images: Path, tmp_path: Path) -> None:
    resource = Resource()
    growing = {"name": "sgd", "lr": 1.0, "weight_decay": 1e3}
    with pytest.warns(RuntimeWarning), pytest.raises(TrainingError) as raised:
        run(images, tmp_path / "run", [resource], optimizer=growing, epochs=20)
    [end] = resource.ends
    assert (resource.open, end.status, end.error) == (False, "failed", raised.value)
    assert end.summary["stopped_by"] == f"TrainingError: {raised.value}"


def test_an_observer_that_fails_keeps_no_other_from_the_end(images: Path, tmp_path: Path) -> None:
    before, broken, after = Resource(), Broken(), Resource()
    with pytest.raises(ValueError, match="a bug in an observer"):
        run(images, tmp_path / "run", [before, broken, after])
    assert [each.ends[0].status for each in (before, broken, after)] == ["failed"] * 3
    assert not (before.open or broken.open or after.open)

"""Images that are checked while a run trains: what they come to does not depend on when."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isotune.data.integrity import background
from isotune.data.integrity import when as when_module
from isotune.data.integrity.background import BackgroundCheck
from isotune.errors import DatasetError, RunError, StoppedError
from outcomes import outcome
from stopping import StopAt, demanding, resume
from tiny import make_images
from zoo import run

FIRST, LAST = "first", "last"
"""Whether images are checked before the first step, or after the last one."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"), size=12)


@pytest.fixture
def images(sound: Path, tmp_path: Path) -> Path:
    """Images of which a test may break some."""
    return shutil.copytree(sound, tmp_path / "images")


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Decides when images are checked."""
    start, check = BackgroundCheck.start, background.check_some

    def set_time(when: str) -> None:
        def started(self: BackgroundCheck, *arguments: Any) -> None:
            start(self, *arguments)
            assert self._thread is not None
            if when == FIRST:
                self._thread.join()

        def last(self: BackgroundCheck, split: str, source: Any) -> None:
            while not self._trained and not self._closed.is_set():
                self._closed.wait(0.01)
            original(self, split, source)

        monkeypatch.setattr(BackgroundCheck, "start", started)
        monkeypatch.setattr(BackgroundCheck, "_check", last if when == LAST else original)

    original = BackgroundCheck._check
    assert check is background.check_some
    return set_time


def spec(images: Path, broken: str = "error", **changes: Any) -> dict[str, Any]:
    dataset = {"path": str(images), "check": "during_training", "broken": broken}
    return demanding("numpy", images, **{"dataset": dataset, **changes})


def damage(path: Path) -> bytes:
    data = path.read_bytes()
    path.write_bytes(data[:-30])
    return data


def listed(folder: Path) -> list[list[str]]:
    lines = (folder / "images.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]


def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def test_sound_images_come_to_the_same_run(
    images: Path, tmp_path: Path, checked: Callable[[str], None]
) -> None:
    run("numpy", demanding("numpy", images), tmp_path / "before")
    for when in (FIRST, LAST):
        checked(when)
        run("numpy", spec(images), tmp_path / when)
        assert outcome(tmp_path / when) == outcome(tmp_path / "before")
        assert listed(tmp_path / when) == listed(tmp_path / "before")
        assert summary(tmp_path / when)["images"] == {"train": 9, "val": 6}


def test_skipped_images_come_to_the_same_run_whenever_they_are_found(
    images: Path,
    tmp_path: Path,
    checked: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = [images / "train/bees/1.png", images / "train/cats/0.png", images / "val/ants/0.png"]
    for path in broken:
        damage(path)
    for number, when in enumerate((FIRST, LAST, LAST)):
        checked(when)
        caplog.clear()
        run("numpy", spec(images, "skip", workers=1 + number), tmp_path / str(number))
        assert outcome(tmp_path / str(number)) == outcome(tmp_path / "0")
        assert summary(tmp_path / str(number))["skipped"] == {"train": 2, "val": 1}
        assert summary(tmp_path / str(number))["images"] == {"train": 7, "val": 5}
        left = [r.getMessage() for r in caplog.records if r.getMessage().startswith("left out")]
        assert sorted(line.split(": ")[0] for line in left) == sorted(
            f"left out {path}" for path in broken
        )
    assert len(listed(tmp_path / "0")) == 15
    with pytest.raises(StoppedError):
        run("numpy", spec(images, "skip"), tmp_path / "stopped", observers=[StopAt(5)])
    resume("numpy", tmp_path / "stopped")
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "0")


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("when", [FIRST, LAST])
def test_a_broken_image_ends_a_run_that_goes_on_after_its_repair(
    images: Path,
    tmp_path: Path,
    checked: Callable[[str], None],
    when: str,
    split: str,
    accumulate: int,
) -> None:
    run("numpy", spec(images, accumulate=accumulate), tmp_path / "whole")
    path = images / split / "cats/1.png"
    data = damage(path)
    checked(when)
    folder = tmp_path / "run"
    with pytest.raises(DatasetError, match=r"cats/1.png: cannot be read .*; repair it, or set"):
        run("numpy", spec(images, accumulate=accumulate), folder)
    path.write_bytes(data)
    resume("numpy", folder)
    assert outcome(folder) == outcome(tmp_path / "whole")


def test_a_run_that_met_a_broken_image_goes_on_without_it(
    images: Path, tmp_path: Path, checked: Callable[[str], None]
) -> None:
    damage(images / "val/bees/1.png")
    run("numpy", spec(images, "skip"), tmp_path / "skipped")
    checked(LAST)
    folder = tmp_path / "run"
    with pytest.raises(DatasetError, match=r"after step 3, in epoch 1 of 4; everything is saved"):
        run("numpy", spec(images), folder)
    assert summary(folder)["state"] == "failed"
    resume("numpy", folder, overrides=["dataset.broken=skip"])
    assert outcome(folder) == outcome(tmp_path / "skipped")


def test_what_needs_all_contents_is_found_when_they_are_known(
    images: Path, tmp_path: Path, checked: Callable[[str], None]
) -> None:
    checked(LAST)
    with pytest.raises(StoppedError):
        run("numpy", spec(images), tmp_path / "stopped", observers=[StopAt(5)])
    assert all(digest == "" for *_, digest in listed(tmp_path / "stopped"))
    checked(FIRST)
    with pytest.raises(StoppedError):
        run("numpy", spec(images), tmp_path / "known", observers=[StopAt(5)])
    assert all(digest for *_, digest in listed(tmp_path / "known"))
    shutil.copy(images / "train/bees/1.png", images / "val/bees/1.png")
    with pytest.raises(DatasetError, match=r"val: bees/1.png has another content"):
        resume("numpy", tmp_path / "known")
    (images / "train/bees/2.png").rename(images / "train/bees/3.png")
    with pytest.raises(RunError, match=r"bees/2.png is gone"):
        resume("numpy", tmp_path / "known")
    dataset = {**spec(images)["dataset"], "duplicates": "error"}
    with pytest.raises(DatasetError, match="1 image is in both 'train' and 'val'"):
        run("numpy", spec(images, dataset=dataset), tmp_path / "duplicates")


def test_a_class_that_cannot_be_read_ends_the_run(
    images: Path, tmp_path: Path, checked: Callable[[str], None]
) -> None:
    for path in (images / "train/bees").iterdir():
        damage(path)
    for when in (FIRST, LAST):
        checked(when)
        with pytest.raises(
            DatasetError, match=r"no (image of class 'bees'|training image of this)"
        ):
            run("numpy", spec(images, "skip"), tmp_path / when)


def test_very_many_images_are_checked_during_training_if_nothing_else_is_asked_for(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    folders = [tmp_path / "few", tmp_path / "many"]
    for most, folder in zip((15, 14), folders, strict=True):
        monkeypatch.setattr(when_module, "CHECKED_BEFORE", most)
        with pytest.raises(StoppedError):
            run("numpy", demanding("numpy", images), folder, observers=[StopAt(5)])
    texts = [(folder / "spec.yaml").read_text() for folder in folders]
    assert ["check: during_training" in text for text in texts] == [False, True]
    assert "check: null" in texts[0]
    for most, folder in zip((14, 15), folders, strict=True):
        monkeypatch.setattr(when_module, "CHECKED_BEFORE", most)
        resume("numpy", folder)
        assert ("during_training" in (folder / "spec.yaml").read_text()) == (most == 15)
    assert outcome(folders[0]) == outcome(folders[1])
    monkeypatch.setattr(when_module, "CHECKED_BEFORE", 14)
    features = {"freeze": "backbone", "epochs": 1}
    run("numpy", demanding("numpy", images, **features), tmp_path / "features")
    assert "check: null" in (tmp_path / "features/spec.yaml").read_text()

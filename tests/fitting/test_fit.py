"""From images to a classifier, with the example backend, whose backbone has no weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

import isotune
from isotune.errors import IsotuneError
from isotune.experiment.run import run
from isotune.fitting.fit import SPEC, fit, propose_spec
from isotune.runs.folder import RunFolder
from isotune.spec.load import load_spec
from tiny import make_images, numpy_plugins


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return make_images(tmp_path / "images", train=8, val=4)


def ticking(seconds: float) -> Callable[[], float]:
    """Returns a clock that goes on by `seconds` whenever it is read."""
    ticks = count()
    return lambda: next(ticks) * seconds


def test_fit_trains_and_its_spec_gives_the_same_run_again(images: Path) -> None:
    plugins = numpy_plugins()
    first = fit(images, backend="numpy", output="first", plugins=plugins)
    assert first.best.val_accuracy > 0.8
    again = run(Path("first") / SPEC, backend="numpy", output="again", plugins=plugins)
    assert [epoch.values for epoch in again.history] == [epoch.values for epoch in first.history]
    text = (Path("first") / SPEC).read_text("utf-8")
    assert "# no pretrained weights are here or can be downloaded" in text


def test_a_run_whose_time_is_over_is_stopped_saved_and_returned(images: Path) -> None:
    plugins, changes = numpy_plugins(), ["epochs=50", "early_stopping=null"]
    stopped = fit(
        images,
        minutes=1,
        backend="numpy",
        overrides=changes,
        output="run",
        plugins=plugins,
        clock=ticking(1.0),
    )
    assert 1 <= len(stopped.history) < 50
    assert "the time budget of 1 min" in (RunFolder.existing("run").summary().stopped_by or "")
    resumed = isotune.resume("run", plugins=plugins)
    assert len(resumed.history) == 50


def test_a_spec_is_written_without_training(images: Path) -> None:
    proposal = propose_spec(
        images, backend="numpy", overrides=["epochs=3", "name=mine"], plugins=numpy_plugins()
    )
    spec = load_spec(proposal.spec)
    assert (spec.epochs, spec.name, spec.backbone.name) == (3, "mine", "linear")
    assert "# as it was set by hand\nepochs: 3\n" in proposal.text
    assert not Path("runs").exists()


def remove_classes(images: Path) -> None:
    for split in ("train", "val"):
        for name in ("bees", "cats"):
            shutil.rmtree(images / split / name)


def damage_all(images: Path) -> None:
    for path in images.rglob("*.png"):
        path.write_text("no image")


def only_two_images(images: Path) -> None:
    shutil.rmtree(images)
    make_images(images, train=1, val=0)
    shutil.move(images / "train", images.parent / "two")
    shutil.rmtree(images)
    shutil.move(images.parent / "two", images)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda images: shutil.rmtree(images), "there is no such folder or file"),
        (lambda images: shutil.rmtree(images) or images.mkdir(), "no images that could be"),
        (remove_classes, "only one class, 'ants', and training needs two"),
        (damage_all, "none of the 24 images looked at can be read, such as"),
        (only_two_images, "'ants', 'bees', 'cats' have fewer than two"),
        (lambda images: shutil.rmtree(images / "val"), None),
    ],
)
def test_what_cannot_be_trained_on_is_one_sentence(
    images: Path, change: Callable[[Path], None], sentence: str | None
) -> None:
    change(images)
    if sentence is None:
        proposal = propose_spec(images, backend="numpy", plugins=numpy_plugins())
        assert proposal.spec["dataset"]["split"] == {"val": 0.2}
        return
    with pytest.raises(IsotuneError, match=sentence):
        propose_spec(images, backend="numpy", plugins=numpy_plugins())

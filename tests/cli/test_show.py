"""``isotune show``: what is written where, and what is told."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from isotune.experiment.open import open_run
from isotune.plugins import plugins
from tiny import experiment
from zoo import run as zoo_run

TINY_BN = {"backbone": {"name": "tiny_bn", "weights": "none"}}


def is_png(path: str | Path) -> bool:
    with Image.open(path) as image:
        return image.format == "PNG"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (["predictions", "--count", "2"], "predictions-val.png"),
        (["predictions", "--flip", "--split", "train", "-c", "last"], "predictions-train.png"),
        (["mistakes"], "mistakes-val.png"),
        (["label-errors"], "label-errors-val.png"),
        (["confusion", "--flip"], "confusion-val.png"),
        (["curves"], "curves.png"),
    ],
)
def test_images_of_a_run_go_into_its_folder(isotune, run: Path, call: list[str], name: str):
    result = isotune("show", *call, run)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"run/figures/{name}"
    assert is_png(f"run/figures/{name}")


def test_data_needs_no_backend(isotune, spec: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plugins, "open_backend", None)
    result = isotune("show", "data", spec, "--count", 2, "--epoch", 2, "--set", "name=other")
    assert (result.exit_code, result.stdout) == (0, "other-data.png\n"), result.output
    assert is_png("other-data.png")


def test_curves_of_several_runs_go_beside_them_or_where_it_is_told(isotune, run: Path):
    shutil.copytree(run, "again")
    assert isotune("show", "curves", run, "again").stdout == "curves.png\n"
    assert isotune("show", "curves", run, "again", "-o", "new/two.svg").stdout == "new/two.svg\n"
    assert "<svg" in Path("new/two.svg").read_text()


def test_mistakes_are_listed_with_their_paths(isotune, run: Path):
    result = isotune("show", "mistakes", run, "--split", "train", "--count", "1")
    found = open_run(run).mistakes(1, "train")
    lines = result.stdout.splitlines()
    assert lines[0] == f"train: {found.count} mistakes in 9 images"
    [mistake] = found.shown
    assert lines[3].split()[1:] == [mistake.predicted, mistake.label, mistake.identity]


def test_labels_in_doubt_are_listed_and_written(isotune, run: Path):
    shutil.move("images/val/bees/1.png", "images/val/ants/bee.png")
    result = isotune("show", "label-errors", run, "--csv", "new/all.csv", "-n", "1", "-o", "a.svg")
    assert result.exit_code == 0, result.output
    found = open_run(run).label_errors()
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"val: {len(found.suspects)} label")
    assert lines[3].split()[4] == found.suspects[0].identity
    assert lines[-2:] == ["new/all.csv", "a.svg"]
    rows = Path("new/all.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [each.identity for each in found.suspects]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (["label-errors", "run", "--csv", "images"], "images: is a folder; name a file."),
        (["dota"], "No such command 'dota'."),
        (["confusion"], "Missing argument 'RUN'."),
        (["confusion", "nowhere"], "nowhere: is not the folder of a run"),
        (["curves", "run", "nowhere"], "nowhere: is not the folder of a run"),
        (["predictions", "run", "--split", "tset"], "has no split 'tset'"),
        (["predictions", "run", "-o", "x.gif"], "x.gif: a figure's name should end in"),
        (["predictions", "run", "--count", "0"], "Invalid value for '--count'"),
        (["explain", "run", "--class", "dogs"], "class: the run has no class 'dogs'."),
        (["explain", "run"], "the model has no part 'conv'; its parts are: flatten, fc."),
        (["explain", "run", "--stage", "fc"], "'fc' has the shape (3,) for each image"),
        (["explain", "run", "images", "--split", "val"], "takes the place of IMAGES"),
        (["explain", "run", "nothing.png", "--stage", "fc"], "nothing.png: there is no such image"),
        (["mistakes", "run", "--explain"], "the model has no part 'conv'"),
        (
            ["data", "tiny.yaml", "--split", "test"],
            "no split 'test', which only dataset.split makes",
        ),
    ],
)
def test_a_wrong_call_ends_with_2_and_leaves_nothing(
    isotune, run: Path, call: list[str], sentence: str
):
    result = isotune("show", *call)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert sentence in result.stderr
    assert all(line.startswith("isotune: ") for line in result.stderr.splitlines())
    assert not Path("run/figures").exists()


def test_explanations_are_shown_of_a_split_of_given_images_and_of_mistakes(
    isotune, run: Path, monkeypatch: pytest.MonkeyPatch
):
    """The example backend's own net has no maps: another one explains instead."""
    images = zoo_run("torch", experiment(Path("images"), epochs=1, **TINY_BN), Path("tiny"))
    monkeypatch.setattr("isotune.exporting.open.open_run", lambda *_, **__: images)
    for call, name in (
        (["explain", "tiny", "--count", "2"], "explain-val.png"),
        (["explain", "tiny", "--split", "train", "--class", "ants"], "explain-train.png"),
        (["explain", "tiny", "images/val/ants", "--stage", "conv"], "explain.png"),
        (["mistakes", "tiny", "--explain", "--flip"], "mistakes-val.png"),
    ):
        result = isotune("show", *call)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[-1] == f"tiny/figures/{name}"
        assert is_png(f"tiny/figures/{name}")


def test_a_bare_call_shows_the_help_and_ends_with_2(isotune):
    result = isotune("show")
    assert result.exit_code == 2
    assert "Usage: isotune show" in result.stderr


def test_a_missing_matplotlib_is_told_before_anything_is_done(
    isotune, run: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(plugins, "open_backend", None)
    result = isotune("show", "confusion", run)
    assert result.exit_code == 1
    assert result.stderr == (
        "isotune: figures need matplotlib, which is not installed;"
        ' `pip install "isotune[plot]"` installs it.\n'
    )

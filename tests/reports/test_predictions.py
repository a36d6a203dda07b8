from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

import isotune
from isotune.errors import IsotuneError
from isotune.reports.predictions import Example, examples, picture_predictions, prediction_figure
from isotune.runs.run import Run
from tiny import experiment, make_pictures, numpy_plugins


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    spec = experiment(make_pictures(tmp_path / "pictures"), epochs=1)
    output = tmp_path / "run"
    return isotune.run(spec, backend="numpy", output=output, plugins=numpy_plugins())


def example(predicted: str) -> Example:
    return Example(np.zeros((4, 6, 3), np.uint8), "ants", predicted, 0.9)


def test_right_predictions_are_blue_and_wrong_ones_red():
    figure = prediction_figure([example("ants"), example("bees"), example("ants")])
    titles = [axes.title for axes in figure.axes]
    assert [title.get_text() for title in titles] == ["ants", "bees (is ants)", "ants"]
    colours = [to_rgb(title.get_color()) for title in titles]
    assert colours == [to_rgb("blue"), to_rgb("red"), to_rgb("blue")]


def test_examples_are_pictures_of_all_classes_with_the_runs_predictions(run: Run):
    found = examples(run, count=3)
    assert [each.label for each in found] == ["ants", "bees", "cats"]
    picture = Path(run.spec.dataset.path) / "val" / "ants" / "1.png"
    assert (found[0].image == np.asarray(Image.open(picture))).all()
    assert (found[0].predicted, found[0].probability) == run.predict(picture)[0]


def test_a_picture_of_all_there_are_is_written_and_replaced(run: Run, tmp_path: Path):
    path = tmp_path / "predictions.png"
    for _ in range(2):
        assert picture_predictions(run, path, count=1000) == path
        with Image.open(path) as image:
            assert image.format == "PNG"
    assert [entry.name for entry in tmp_path.glob(".*")] == []


def test_a_missing_matplotlib_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(IsotuneError, match=r'pip install "isotune\[plot\]"'):
        prediction_figure([example("ants")])

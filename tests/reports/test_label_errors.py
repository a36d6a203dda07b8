from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.data.images import open_labeled
from isotune.experiment.result import Run
from isotune.reports.label_errors import (
    find_label_errors,
    label_errors_figure,
    label_errors_table,
    summary,
    write_csv,
)
from tiny import experiment, make_images, numpy_plugins


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that separates its classes, with a validation image of bees among the ants."""
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    images = make_images(tmp_path / "images", train=6, val=6)
    (images / "val/bees/5.png").rename(images / "val/ants/=bee.png")
    spec = experiment(images, epochs=8, optimizer={"name": "adam", "lr": 0.05})
    output = tmp_path / "run"
    return isotune.run(spec, backend="numpy", output=output, plugins=numpy_plugins())


def test_an_image_in_the_wrong_folder_is_found_and_shown(
    run: Run, caplog: pytest.LogCaptureFixture
):
    found = run.label_errors()
    [suspect] = found.suspects
    assert caplog.messages == []
    assert Path(suspect.identity).name == "=bee.png"
    assert (suspect.label, suspect.suggested) == ("ants", "bees")
    prediction = dict(run.predict(suspect.identity))
    assert suspect.score == pytest.approx(prediction["ants"])
    assert suspect.probability == pytest.approx(prediction["bees"])
    assert summary(found) == "val: 1 label of 18 images in doubt (5.6%)"
    [axes] = label_errors_figure(found, 16).axes
    assert axes.title.get_text().replace("\n", " ").startswith("bees ")
    assert axes.title.get_text().replace("\n", " ").endswith("(labeled ants)")
    assert label_errors_table(found, 16).rows[0][4] == suspect.identity
    stream = io.StringIO()
    write_csv(found, stream)
    assert list(csv.reader(io.StringIO(stream.getvalue()))) == [
        ["image", "label", "suggested", "score", "probability"],
        [suspect.identity, "ants", "bees", str(suspect.score), str(suspect.probability)],
    ]


def test_training_images_are_warned_of(run: Run, caplog: pytest.LogCaptureFixture):
    found = run.label_errors("train")
    assert summary(found) == "train: no label of 18 images is in doubt"
    [message] = caplog.messages
    assert message.startswith("the model was trained on the split 'train' and has learned")
    assert label_errors_figure(found, 3).axes == []


def test_no_cell_is_a_formula_and_only_some_are_shown(run: Run, monkeypatch: Any):
    source = open_labeled(run.spec, run.classes)
    monkeypatch.setattr(source, "identify", "=cmd{}".format)
    labels = np.where(np.arange(18) % 2, np.roll(source.labels, 6), source.labels)
    found = find_label_errors(source, np.eye(3)[labels], name="tiny", part="val")
    assert [suspect.position for suspect in found.suspects] == list(range(1, 18, 2))
    assert len(label_errors_table(found, 4).rows) == len(label_errors_figure(found, 4).axes) == 4
    stream = io.StringIO()
    write_csv(found, stream)
    assert [line[:5] for line in stream.getvalue().splitlines()[1:]] == ["'=cmd"] * 9


def test_several_labels_are_named(run: Run, monkeypatch: Any):
    source = open_labeled(run.spec, run.classes)
    true = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]] * 6, np.float32)
    labels = true.copy()
    labels[3, 2], labels[5, 0] = 0, 1
    monkeypatch.setattr(source, "labels", labels)
    found = find_label_errors(source, true * 0.8 + 0.1, name="tiny", part="val")
    doubts = {(each.position, each.label, each.suggested) for each in found.suspects}
    assert doubts == {(3, "ants", "ants, cats"), (5, "ants", "-")}

"""``isotune show label-errors`` of a cross-validation."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import isotune as package
from isotune.experiment.cross_validate import CrossValidation
from isotune.plugins import plugins
from tiny import experiment, make_images


def cross_validated() -> CrossValidation:
    """Cross-validates images of three classes, of which one image of ants is among the bees."""
    images = make_images(Path("images"), train=5, val=2)
    (images / "train/ants/3.png").rename(images / "train/bees/ant.png")
    spec = experiment(images, epochs=8, optimizer={"name": "adam", "lr": 0.05})
    return package.cross_validate(
        spec, folds=3, backend="numpy", output=Path("folds"), plugins=plugins, progress=False
    )


def test_all_images_of_a_cross_validation_are_searched_without_a_model(isotune, monkeypatch):
    result = cross_validated()
    monkeypatch.setattr(plugins, "open_backend", None)
    found = result.label_errors()
    ant = [each for each in found.suspects if each.identity.endswith("train/bees/ant.png")]
    assert [(each.label, each.suggested) for each in ant] == [("bees", "ants")]
    position = result.predictions.names.index("train/bees/ant.png")
    assert ant[0].score == result.predictions.probabilities[position, 1]

    shown = isotune("show", "label-errors", "folds", "--csv", "all.csv", "--count", "1")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].startswith(f"3 folds: {len(found.suspects)} label")
    assert lines[-2:] == ["all.csv", "folds/figures/label-errors.png"]
    assert Path(lines[-1]).stat().st_size
    rows = list(csv.reader(Path("all.csv").read_text().splitlines()))
    assert rows[1:] == [
        [each.identity, each.label, each.suggested, str(each.score), str(each.probability)]
        for each in found.suspects
    ]


def test_images_that_have_changed_since_are_refused(isotune):
    cross_validated()
    moved = shutil.move("images/train/bees/ant.png", "images/train/ants/ant.png")
    wrong = isotune("show", "label-errors", "folds", "--csv", "all.csv")
    assert wrong.exit_code == 2
    assert wrong.stderr == (
        "isotune: folds: the images, or their labels, are no longer those that were predicted,"
        " such as 'train/bees/ant.png'; cross-validate them again.\n"
    )
    shutil.move(moved, "images/train/bees/ant.png")
    shutil.rmtree("folds/predictions")
    unfinished = isotune("show", "label-errors", "folds")
    assert "folds: fold 1 has not ended; isotune resume folds goes on." in unfinished.stderr
    for choice in (["--split", "val"], ["--backend", "numpy"], ["-d", "cpu"], ["-c", "last"]):
        chosen = isotune("show", "label-errors", "folds", *choice)
        assert chosen.exit_code == 2
        assert "a cross-validation has predicted all its images already: leave" in chosen.stderr
    assert not Path("all.csv").exists()
    assert not Path("folds/figures").exists()

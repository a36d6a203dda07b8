"""``isotune predict``: which images, in which format, and what is told of the rest."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from isotune.experiment.open import open_run


def test_predict_takes_images_and_folders(isotune, run: Path):
    image = Path("images/train/bees/0.png")
    result = isotune("predict", run, image, "images/val/ants", "--top", "2")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == [
        str(image),
        "images/val/ants/0.png",
        "images/val/ants/1.png",
    ]
    (first, share), (second, less) = open_run(run).predict(image, top=2)
    assert lines[0][1:] == [first, f"{share:.4f}", second, f"{less:.4f}"]


def test_predict_passes_over_what_it_cannot_read_and_ends_with_1(isotune, run: Path):
    Path("broken.png").write_text("not an image")
    result = isotune("predict", run, "missing.png", "broken.png", "images/val/ants/0.png")
    assert result.exit_code == 1
    assert result.stdout.split()[0] == "images/val/ants/0.png"
    missing, broken = result.stderr.splitlines()
    assert missing == "isotune: missing.png: there is no such image."
    assert broken.startswith("isotune: broken.png: cannot be read as an image: ")


def test_predict_refuses_a_folder_without_images(isotune, run: Path):
    Path("empty").mkdir()
    result = isotune("predict", run, "empty")
    assert result.exit_code == 2
    assert "empty: there is no image in it" in result.stderr


def test_patterns_stand_for_the_files_they_match_in_order(isotune, run: Path):
    result = isotune("predict", run, "images/val/**/1.png", "images/val/ants/?.png")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "images/val/ants/1.png",
        "images/val/bees/1.png",
        "images/val/cats/1.png",
        "images/val/ants/0.png",
        "images/val/ants/1.png",
    ]


def test_a_pattern_that_matches_nothing_is_told(isotune, run: Path):
    result = isotune("predict", run, "images/val/ants/0.png", "images/**/*.jpg")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "isotune: images/**/*.jpg: matches no file.\n"


def test_csv_has_a_column_for_each_class_and_probability(isotune, run: Path):
    Path("broken.png").write_text("not an image")
    Path('a, "b".png').write_bytes(Path("images/val/ants/0.png").read_bytes())
    result = isotune(
        "predict", run, 'a, "b".png', "broken.png", "images/val/bees", "-k", "9", "-f", "csv"
    )
    assert result.exit_code == 1
    header, *rows = csv.reader(io.StringIO(result.stdout))
    ranks = ("1", "2", "3")
    assert header == ["path", *(f"{n}_{r}" for r in ranks for n in ("class", "probability"))]
    assert [row[0] for row in rows] == [
        'a, "b".png',
        "images/val/bees/0.png",
        "images/val/bees/1.png",
    ]
    [expected] = open_run(run).predict_many(["images/val/ants/0.png"])
    found = list(zip(rows[0][1::2], map(float, rows[0][2::2]), strict=True))
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [share for _, share in found] == pytest.approx([share for _, share in expected])


def test_json_lines_hold_predictions_and_errors_in_order(isotune, run: Path):
    image = "images/val/ants/0.png"
    result = isotune("predict", run, image, "none.png", image, "--format", "jsonl")
    assert result.exit_code == 1
    first, error, second = map(json.loads, result.stdout.splitlines())
    assert error == {"path": "none.png", "error": "none.png: there is no such image."}
    assert first == second
    assert first["path"] == image
    [prediction] = first["predictions"]
    assert prediction.keys() == {"class", "probability"}


def test_a_files_name_decides_its_format_and_no_part_is_left_by_a_failure(isotune, run: Path):
    result = isotune("predict", run, "images/val", "-o", "new/all.csv")
    assert (result.exit_code, result.stdout) == (0, "new/all.csv: 6 predictions\n")
    assert len(Path("new/all.csv").read_text().splitlines()) == 7
    isotune("predict", run, "images/val", "-o", "new/all.txt")
    assert len(Path("new/all.txt").read_text().splitlines()) == 6
    failed = isotune("predict", "nowhere", "images/val", "-o", "new/other.csv")
    assert failed.exit_code == 2
    assert isotune("predict", run, "images/val", "-o", "new").exit_code == 2
    assert sorted(each.name for each in Path("new").iterdir()) == ["all.csv", "all.txt"]

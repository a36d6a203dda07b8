"""``isotune predict`` and ``isotune evaluate`` where an image may have several labels."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
import yaml

from isotune.experiment.open import open_run
from several_labels import CLASSES, make_table, several

THREE = [f"data/val-{number}.png" for number in (0, 3, 7)]


@pytest.fixture
def run(isotune) -> Path:
    spec = several(make_table(Path("data")).resolve(), epochs=2, metrics=["macro_f1"])
    Path("several.yaml").write_text(yaml.safe_dump(spec))
    result = isotune("run", "several.yaml", "-b", "numpy", "-o", "runs/several")
    assert result.exit_code == 0
    assert "images      24 train, 12 val" in result.output
    assert re.search(r"images, any labels +24 +12 +36\n", result.output)
    return Path("runs/several")


def test_predictions_say_which_labels_reach_their_thresholds(isotune, run: Path):
    opened = open_run(run)
    expected = opened.predict_many(THREE)
    lines = isotune("predict", run, *THREE).stdout.splitlines()
    assert len(lines) == len(expected)
    for line, prediction in zip(lines, expected, strict=True):
        above = [f"{name} {p:.4f}" for name, p in prediction if name in prediction.labels]
        assert line.split("  ", 1)[1].strip() == ("  ".join(above) or "-")

    rows = [*csv.DictReader(io.StringIO(isotune("predict", run, *THREE, "-f", "csv").stdout))]
    answers = isotune("predict", run, *THREE, "-f", "jsonl").stdout.splitlines()
    for row, answer, prediction in zip(rows, map(json.loads, answers), expected, strict=True):
        assert row["labels"] == "|".join(prediction.labels)
        assert [row[f"class_{rank}"] for rank in (1, 2, 3)] == [name for name, _ in prediction]
        assert answer["labels"] == [*prediction.labels]
        assert [each["class"] for each in answer["predictions"]] == [name for name, _ in prediction]

    low = isotune("predict", run, *THREE, "--threshold", "1e-9", "--top", "2").stdout
    assert "(" not in low
    high = isotune("predict", run, *THREE, "--threshold", "0.999999", "--top", "2").stdout
    assert high.count("(") == 2 * len(THREE)
    wrong = isotune("predict", run, *THREE, "--threshold", "1.5")
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        "isotune: threshold: is 1.5, but should be between 0 and 1.\n",
    )


def test_an_evaluation_has_figures_of_each_class_and_its_threshold(isotune, run: Path):
    found = json.loads(isotune("evaluate", run, "--json").stdout)
    best = open_run(run).best
    assert found["mean_average_precision"] == best.value("val_mean_average_precision")
    assert found["macro_f1"] == best.value("val_macro_f1")
    assert found["per_class"]["threshold"] == pytest.approx(list(best.thresholds or ()))
    for matrix, images in zip(found["confusion"], found["per_class"]["images"], strict=True):
        assert sum(map(sum, matrix)) == found["images"] == 12
        assert sum(matrix[1]) == images
    table = isotune("evaluate", run, "--threshold", "0.5").stdout
    rows = [line.split() for line in table.splitlines() if line.startswith(CLASSES)]
    assert [row[-1] for row in rows] == ["0.5"] * 3
    assert "exact match" in table


def test_figures_that_need_one_label_say_so(isotune, run: Path):
    pytest.importorskip("matplotlib")
    result = isotune("show", "confusion", run)
    assert result.exit_code == 2
    assert "its images may have several labels, so that none is confused with" in result.stderr
    for figure in ("predictions", "mistakes"):
        assert isotune("show", figure, run).exit_code == 0, figure

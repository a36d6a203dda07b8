"""What is asked of a run that is there: ``evaluate``, ``compare``."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from isotune.experiment.open import open_run
from isotune.metrics import METRICS
from made_runs import made_run


def test_evaluate_shows_every_metric_and_each_class(isotune, run: Path):
    result = isotune("evaluate", run, "--split", "train", "--checkpoint", "last")
    assert result.exit_code == 0
    truth = open_run(run, checkpoint="last").evaluate("train")
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["split", "train,", "9", "images"]
    assert lines[2].split() == ["loss", f"{truth.loss:.6f}"]
    assert lines[3].split() == ["accuracy", f"{100 * truth.accuracy:.2f}%"]
    shown = [line[2:].rsplit(maxsplit=1)[0].strip() for line in lines[2 : lines.index("")]]
    assert sorted(shown) == sorted(each.label for each in METRICS.values() if each.applies(False))
    heading, _, *rows = [line.split() for line in lines[lines.index("") + 1 :]]
    assert heading == ["class", "images", "predicted", "correct", "precision", "recall", "F1"]
    assert [row[:2] for row in rows] == [["ants", "3"], ["bees", "3"], ["cats", "3"]]
    assert sum(int(row[2]) for row in rows) == 9
    assert sum(int(row[3]) for row in rows) == round(9 * truth.accuracy)
    recall = np.mean([float(row[5].rstrip("%")) for row in rows])
    assert recall == pytest.approx(100 * truth.accuracy, abs=0.1)


def test_a_checkpoint_is_named_by_its_folder_or_those_there_are_are_listed(isotune, run: Path):
    last = open_run(run, checkpoint="last").best.epoch
    named = isotune("evaluate", run, "--checkpoint", f"epoch-{last:04d}")
    assert named.stdout == isotune("evaluate", run, "--checkpoint", "last").stdout
    for command in (["evaluate", run], ["predict", run, "images/val"]):
        result = isotune(*command, "--checkpoint", "worst")
        assert result.exit_code == 2
        assert re.search(
            r"checkpoints: there is no checkpoint 'worst'\. "
            r"There are: best \(epoch-000[12]\), last \(epoch-0002\)\.",
            result.stderr,
        )


def test_evaluate_gives_the_confusion_matrix_as_json(isotune, run: Path):
    result = isotune("evaluate", run, "--split", "train", "--json")
    found = json.loads(result.stdout)
    truth = open_run(run).evaluate("train")
    assert (found["split"], found["images"], found["loss"]) == ("train", 9, truth.loss)
    assert found["classes"] == ["ants", "bees", "cats"]
    pairs = list(zip(truth.labels.tolist(), truth.predicted.tolist(), strict=True))
    assert found["confusion"] == [[pairs.count((a, b)) for b in range(3)] for a in range(3)]


def test_evaluate_and_predict_take_the_mean_with_the_mirror_image(isotune, run: Path):
    truth = open_run(run).evaluate(flip=True)
    found = json.loads(isotune("evaluate", run, "--flip", "--json").stdout)
    assert (found["flip"], found["loss"]) == (True, truth.loss)
    assert not json.loads(isotune("evaluate", run, "--json").stdout)["flip"]
    lines = isotune("evaluate", run, "--flip").stdout.splitlines()
    assert lines[1].split(maxsplit=1)[1] == "val with mirror images, 6 images"
    result = isotune("predict", run, "images/val", "--flip", "-k", "3", "-f", "jsonl")
    for row, line in zip(truth.probabilities, result.stdout.splitlines(), strict=True):
        shares = {each["class"]: each["probability"] for each in json.loads(line)["predictions"]}
        assert list(row) == pytest.approx([shares[name] for name in found["classes"]], abs=1e-6)


def test_evaluate_takes_images_of_some_of_the_classes_and_says_of_which(isotune, run: Path):
    shutil.copytree("images", "others")
    shutil.rmtree("others/val/ants")
    truth = open_run(run).evaluate()
    of_bees_and_cats = truth.confusion * [[0], [1], [1]]
    found = json.loads(isotune("evaluate", run, "--data", "others", "--json").stdout)
    assert found["confusion"] == of_bees_and_cats.tolist()
    assert found["classes"] == ["ants", "bees", "cats"]
    assert found["classes_without_images"] == ["ants"]
    occurring = of_bees_and_cats.any(axis=0) | [False, True, True]
    assert found["classes_in_macro_averages"] == [
        name for name, occurs in zip(found["classes"], occurring, strict=True) if occurs
    ]
    recalls = of_bees_and_cats.diagonal() / [1, 2, 2]
    assert found["balanced_accuracy"] == pytest.approx(recalls[1:].mean())
    assert found["macro_recall"] == pytest.approx(recalls[occurring].mean())

    shown = isotune("evaluate", run, "--data", "others").stdout
    assert re.search(r"^  classes  +2 of 3 have images$", shown, re.MULTILINE)
    assert re.search(r"^ants  +0 .* -  ", shown, re.MULTILINE)
    over = f"over {occurring.sum()} classes among labels or predictions, .* over 2 classes with"
    assert re.search(over, shown)

    shutil.rmtree("others/val/bees")
    one = isotune("evaluate", run, "--data", "others")
    assert (one.exit_code, one.stderr) == (0, "")
    assert re.search(r"^  ROC AUC +-$", one.stdout, re.MULTILINE)


def test_evaluate_refuses_classes_that_the_run_does_not_know(isotune, run: Path):
    shutil.copytree("images", "others")
    Path("others/val/ants").rename("others/val/wasps")
    Path("others/val/bees").rename("others/val/cat")
    result = isotune("evaluate", run, "--data", "others")
    assert result.exit_code == 2
    assert result.stderr.strip() == (
        "isotune: others: its split 'val' has classes that the run was not trained on: 'cat',"
        " 'wasps'. Did you mean 'cats'? The run's classes are: 'ants', 'bees', 'cats'."
    )


def test_compare_shows_the_runs_and_their_differences(isotune, run: Path):
    made_run(Path("other"), [(2.0, 0.5)])
    result = isotune("compare", run, "other")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["state", "finished", "unfinished"] in lines
    assert lines[-1][:5] == ["2", "1:", "numpy", "1", lines[-1][4]]

    figures = json.loads(isotune("compare", run, "other", "--json").stdout)
    assert [each["state"] for each in figures["runs"]] == ["finished", "unfinished"]
    assert figures["differences"][0]["val_accuracy_epoch"] == 1

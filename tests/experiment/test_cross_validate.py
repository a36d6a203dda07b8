"""A cross-validation: a run for each fold, every image predicted once, resumable as a whole."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.errors import DatasetError, RunError, SpecError
from isotune.experiment.cross_validate import CrossValidation, resume_cross_validation
from isotune.runs.cross_validation import CrossValidationFolder
from outcomes import outcome
from stopping import InterruptAt
from tiny import CLASSES, experiment, make_images, numpy_plugins

PLUGINS = numpy_plugins()


def cross_validate(spec: Any, folder: Path, **options: Any) -> CrossValidation:
    options = {"folds": 3, "backend": "numpy", "device": "cpu", "plugins": PLUGINS, **options}
    return isotune.cross_validate(spec, output=folder, **options)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with an image of a class in both splits."""
    root = make_images(tmp_path_factory.mktemp("images"), train=4, val=3)
    shutil.copy(root / "train/bees/1.png", root / "val/bees/copy.png")
    return root


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    return cross_validate(experiment(images), tmp_path_factory.mktemp("whole") / "run")


def test_every_image_is_predicted_once_by_a_model_that_never_saw_it(
    images: Path, whole: CrossValidation
) -> None:
    every = sorted(str(path.relative_to(images)) for path in images.rglob("*.png"))
    found = whole.predictions
    assert sorted(found.names) == every
    assert sorted(Counter(found.folds.tolist()).values()) == [7, 7, 8]
    fold = dict(zip(found.names, found.folds, strict=True))
    assert fold["train/bees/1.png"] == fold["val/bees/copy.png"]
    for number, path in enumerate(whole.runs, 1):
        run = isotune.open_run(path, plugins=PLUGINS)
        mine = found.folds == number
        evaluation = run.evaluate()
        np.testing.assert_array_equal(evaluation.probabilities, found.probabilities[mine])
        np.testing.assert_array_equal(evaluation.labels, found.labels[mine])
        assert dict(evaluation.metrics) == found.metrics[number - 1]
        lines = [json.loads(line) for line in (path / "images.jsonl").read_text().splitlines()]
        trained = {name for split, _, name, _ in lines[1:] if split == "train"}
        assert trained == {name for name in every if fold[name] != number}


def came_to(folder: Path) -> dict[str, Any]:
    """Returns everything that a cross-validation leaves, except times."""
    files = [*folder.glob("*.json"), *folder.glob("*.csv"), *folder.glob("predictions/*")]
    assert len(files) == 7
    outcomes = {path.name: outcome(path) for path in sorted(folder.glob("fold-*"))}
    return {**{path.name: path.read_bytes() for path in files}, **outcomes}


# Numbers of steps that a process makes, of four an epoch and two epochs a fold.
@pytest.mark.parametrize("processes", [(3, 7, 5), (10, 12)])
def test_it_goes_on_to_the_same_bytes(
    processes: tuple[int, ...], images: Path, whole: CrossValidation, tmp_path: Path
) -> None:
    spec = experiment(images)
    for steps in processes:
        with pytest.raises(KeyboardInterrupt):
            cross_validate(spec, tmp_path, observers=[InterruptAt(steps)])
    assert not (tmp_path / "metrics.json").exists()
    shutil.copy(tmp_path / "cross-validation.json", tmp_path / ".metrics.json.12.abcdef")
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("predictions/*")}
    cross_validate(spec, tmp_path)
    assert came_to(tmp_path) == came_to(whole.path)
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert not list(tmp_path.rglob(".*.abcdef"))


def test_a_fold_that_ended_without_predictions_is_not_trained_again(
    images: Path, whole: CrossValidation, tmp_path: Path
) -> None:
    shutil.copytree(whole.path, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "predictions/fold-2.safetensors", tmp_path / "metrics.csv"):
        path.unlink()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("fold-*/summary.json")}
    resume_cross_validation(tmp_path, device="cpu", plugins=PLUGINS, overrides=["workers=1"])
    shutil.copy(whole.path / "cross-validation.json", tmp_path)  # which had no workers
    assert came_to(tmp_path) == came_to(whole.path)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_images_may_move_but_not_change(
    images: Path, whole: CrossValidation, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(images, tmp_path / "moved"))
    folder = Path(shutil.copytree(whole.path, tmp_path / "run"))
    for path in ("fold-3", "predictions/fold-3.safetensors", "predictions/fold-2.safetensors"):
        (folder / path).rename(tmp_path / "gone")
        shutil.rmtree(tmp_path / "gone") if path == "fold-3" else (tmp_path / "gone").unlink()
    changes = {"overrides": [f"dataset.path={moved}"], "device": "cpu", "plugins": PLUGINS}
    one = moved / "train/ants/0.png"
    one.rename(moved / "train/ants/9.png")
    with pytest.raises(RunError, match=r"fold-1: the images are not those of the run: .*0\.png is"):
        resume_cross_validation(folder, **changes)
    (moved / "train/ants/9.png").rename(one)
    found = resume_cross_validation(folder, **changes).predictions
    np.testing.assert_array_equal(found.probabilities, whole.predictions.probabilities)


def test_files_hold_mean_and_deviation_and_full_precision(whole: CrossValidation) -> None:
    values = [metrics["accuracy"] for metrics in whole.predictions.metrics]
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    assert deviation > 0
    found = whole.statistics["accuracy"]
    assert (found.mean, found.deviation) == pytest.approx((mean, deviation))
    plain = json.loads((whole.path / "metrics.json").read_text())
    assert plain["mean"]["accuracy"] == found.mean
    assert [fold["metrics"]["accuracy"] for fold in plain["folds"]] == values
    with (whole.path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["fold"] for row in rows] == ["1", "2", "3", "mean", "std"]
    assert float(rows[4]["accuracy"]) == found.deviation
    with (whole.path / "predictions.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    probabilities = [[row[f"probability_{name}"] for name in CLASSES] for row in written]
    np.testing.assert_array_equal(
        np.array(probabilities, np.float32), whole.predictions.probabilities
    )
    assert {row["image"]: row["true"] for row in written}["val/bees/copy.png"] == "bees"


def test_a_fold_is_a_spec_of_its_own(images: Path, whole: CrossValidation, tmp_path: Path) -> None:
    fold = {"number": 2, "folds": 3}
    spec = experiment(images, dataset={"path": str(images), "fold": fold}, name="tiny-fold-2")
    isotune.run(spec, backend="numpy", device="cpu", output=tmp_path, plugins=PLUGINS)
    assert outcome(tmp_path) == outcome(whole.runs[1])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"folds": 1}, SpecError, "a cross-validation has 2 to 10,000 folds, not 1"),
        ({"folds": 8}, DatasetError, "8 folds need as many different images of each class: "
         "class 'ants' has 7; class 'bees' has 7; class 'cats' has 7"),
        ({"by": "group"}, DatasetError, "the images have no groups"),
        ({"overrides": ["dataset.fold={number: 1, folds: 2}"]}, SpecError, "dataset.fold: is set"),
    ],
)  # fmt: skip
def test_wrong_calls_leave_no_folder(
    options: dict[str, Any], error: type[Exception], says: str, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        cross_validate(experiment(images), tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_other_folders_are_refused(images: Path, whole: CrossValidation, tmp_path: Path) -> None:
    spec = experiment(images)
    with pytest.raises(RunError, match="cross-validation whose folds is 3, not 4"):
        cross_validate(spec, whole.path, folds=4)
    with pytest.raises(RunError, match=r"of another spec: epochs is 2, not 3; .* What may change"):
        cross_validate(spec, whole.path, overrides=["epochs=3"])
    with pytest.raises(RunError, match=r"is not the folder of a run \(.*first run"):
        isotune.open_run(whole.path, plugins=PLUGINS)
    with pytest.raises(RunError, match="is there already, and not a cross-validation's"):
        cross_validate(spec, whole.runs[0])
    shutil.copytree(whole.path, tmp_path, dirs_exist_ok=True)
    isotune.resume(tmp_path / "fold-2", device="cpu", overrides=["epochs=3"], plugins=PLUGINS)
    with pytest.raises(RunError, match=r"fold-2: is no longer a run of this .* epochs is 3"):
        cross_validate(spec, tmp_path)
    with (
        CrossValidationFolder(tmp_path).claimed(),
        pytest.raises(RunError, match="is training there; wait for its end"),
    ):
        cross_validate(spec, tmp_path)


def test_a_test_split_that_the_spec_makes_stays_out(images: Path, tmp_path: Path) -> None:
    root = images / "train"
    dataset = {"path": str(root), "split": {"val": 1, "test": 1}}
    run = cross_validate(experiment(root, dataset=dataset), tmp_path, folds=3)
    opened = isotune.open_run(run.runs[2], plugins=PLUGINS)
    assert [len(opened.evaluate(split).labels) for split in ("train", "val", "test")] == [6, 3, 3]
    assert len(run.predictions.names) == 9


def test_a_dataset_without_splits_is_divided_whole(images: Path, tmp_path: Path) -> None:
    run = cross_validate(experiment(images / "train"), tmp_path, folds=2)
    every = sorted(
        str(path.relative_to(images / "train")) for path in (images / "train").rglob("*.png")
    )
    assert sorted(run.predictions.names) == every


def test_a_table_of_several_labels_is_divided_by_group_without_its_test_split(
    images: Path, tmp_path: Path
) -> None:
    rows = []
    for number, path in enumerate(sorted(images.rglob("[0-9].png"))):
        labels = f"{path.parent.name};round" if number % 2 else path.parent.name
        name = path.relative_to(images)
        split, group = ("train", "val", "test")[number % 3], f"camera {number // 3 % 5}"
        rows.append(f"{name},{labels},{split},{group}")
    table = images / "labels.csv"
    table.write_text("\n".join(["path,labels,split,group", *rows]))
    dataset = {"format": "table", "path": str(table), "targets": "multi_label"}
    run = cross_validate(experiment(images, dataset=dataset), tmp_path, folds=2, by="group")
    found = run.predictions
    cells = {f"{split}/{name}": group for name, _, split, group in (r.split(",") for r in rows)}
    assert set(found.names) == {name for name in cells if not name.startswith("test/")}
    pairs = zip(found.names, found.folds.tolist(), strict=True)
    assert len({(cells[name], fold) for name, fold in pairs}) == 5, "each camera is in one fold"
    assert "mean_average_precision" in run.statistics
    with (tmp_path / "predictions.csv").open(newline="") as file:
        true = {row["image"]: row["true"] for row in csv.DictReader(file)}
    assert {name: set(text.split("|")) for name, text in true.items()} == {
        f"{split}/{name}": set(labels.split(";"))
        for name, labels, split, _ in (row.split(",") for row in rows)
        if split != "test"
    }

"""Runs opened again: the same model, figures and predictions."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import PIL.Image as PIL
import pytest

import isotune
from isotune.errors import DatasetError, RunError
from isotune.experiment.result import Run
from tiny import experiment, make_images, numpy_plugins


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose best epoch is not its last."""
    root = tmp_path_factory.mktemp("run")
    spec = experiment(
        make_images(root / "images"),
        epochs=6,
        schedule={"name": "constant", "warmup": {"epochs": 1}},
        loss={"label_smoothing": 0.1, "class_weights": "balanced"},
        optimizer={"name": "sgd", "lr": 1.0},
    )
    return isotune.run(spec, backend="numpy", output=root / "run", plugins=numpy_plugins())


def opened(run: Run, **arguments: str) -> Run:
    return isotune.open_run(run.path, plugins=numpy_plugins(), **arguments)  # type: ignore[arg-type]


def images(run: Run) -> list[Path]:
    return sorted(Path(run.spec.dataset.path).glob("val/*/*.png"))


def test_the_model_is_that_of_the_best_epoch(run: Run) -> None:
    assert run.best.epoch < len(run.history)
    assert run.best.val_accuracy == max(metrics.val_accuracy for metrics in run.history)
    for same in (run, opened(run)):
        found = same.evaluate()
        assert (found.accuracy, found.loss) == (run.best.val_accuracy, run.best.val_loss)
    last = opened(run, checkpoint="last")
    assert last.best == run.history[-1]
    assert last.evaluate().loss == run.history[-1].val_loss


def test_everything_else_is_the_same(run: Run) -> None:
    again = opened(run)
    assert again.spec == run.spec
    assert again.classes == run.classes == ("ants", "bees", "cats")
    assert again.best == run.best
    assert [m.as_json() for m in again.history] == [m.as_json() for m in run.history]
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 6
    assert again.plan.class_weights is not None
    assert run.plan.class_weights is not None
    assert again.plan.class_weights.tolist() == run.plan.class_weights.tolist()


def test_predictions(run: Run) -> None:
    again = opened(run)
    assert again.predict_many(images(run)) == run.predict_many(images(run))
    prediction = again.predict(images(run)[0])
    assert sorted(name for name, _ in prediction) == list(run.classes)
    assert sum(share for _, share in prediction) == pytest.approx(1)
    assert [share for _, share in prediction] == sorted((s for _, s in prediction), reverse=True)
    assert again.predict(str(images(run)[0]), top=1) == prediction[:1]
    assert again.predict_many([]) == []
    with pytest.raises(DatasetError, match=r"bee\.png: there is no such image"):
        again.predict("bee.png")


def test_predictions_are_the_same_whichever_way_an_image_comes(run: Run) -> None:
    path = images(run)[0]
    folder = Path(run.spec.dataset.path) / "val"
    expected = run.predict(path)
    with path.open("rb") as file:
        given = [
            path,
            str(path),
            PIL.open(path),
            np.asarray(PIL.open(path)),
            path.read_bytes(),
            file,
        ]
        assert [run.predict(image) for image in given] == [expected] * len(given)
        by_path = [*[path] * len(given), *isotune.find_images([folder / "ants"])]
        assert run.predict([*given, folder / "ants"], top=2) == run.predict(by_path, top=2)
    assert run.predict(folder) == run.predict_many(isotune.find_images([folder]))
    assert run.predict(str(folder / "*/0.png")) == run.predict(sorted(folder.glob("*/0.png")))
    assert run.features([given[2]]).tolist() == run.features([path]).tolist()
    with pytest.raises(DatasetError, match=r"^images\[1\]: is an array of float32"):
        run.predict([path, np.zeros((4, 4, 3), np.float32)])


def test_predictions_depend_neither_on_their_neighbours_nor_on_what_cannot_be_read(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_text("not an image")
    some = images(run)
    mixed = [tmp_path / "broken.png", *some * 12, tmp_path / "missing.png", some[0], some[0]]
    assert len(mixed) > 2 * run.backend.inference_batch_size()
    found = list(opened(run).predict_each(mixed))
    errors = [each for each in found if isinstance(each, DatasetError)]
    assert [found.index(error) for error in errors] == [0, len(mixed) - 3]
    assert "broken.png: cannot be read as an image" in str(errors[0])
    for image, prediction in zip(mixed, found, strict=True):
        if not isinstance(prediction, DatasetError):
            alone = dict(run.predict(image))
            assert dict(prediction) == pytest.approx(alone, rel=1e-5)


def test_features_are_what_the_head_classifies(run: Run) -> None:
    some = images(run)
    found = run.features(some)
    state = run.backend.state_adapter.export_model(run.model)
    logits = found @ state["fc.weight"].T + state["fc.bias"]
    classes = [run.classes[label] for label in logits.argmax(1)]
    assert classes == [prediction[0][0] for prediction in run.predict_many(some)]
    assert found.dtype == np.float32
    with pytest.raises(DatasetError, match="there is no such image"):
        run.features([*some, "missing.png"])
    assert run.predict(some[0])  # the head is there again


def test_evaluating_another_split_and_another_folder(run: Run, tmp_path: Path) -> None:
    assert len(run.evaluate("train").labels) == 9
    make_images(tmp_path, train=1, val=1)
    assert len(run.evaluate(data=tmp_path).labels) == 3
    shutil.rmtree(tmp_path / "val/bees")
    assert run.evaluate(data=tmp_path).labels.tolist() == [0, 2]
    (tmp_path / "val/cats").rename(tmp_path / "val/wasps")
    with pytest.raises(DatasetError, match="class that the run was not trained on: 'wasps'"):
        run.evaluate(data=tmp_path)


def test_class_names_match_in_whatever_code_points(tmp_path: Path) -> None:
    composed = "k\N{LATIN SMALL LETTER A WITH DIAERESIS}fer"
    decomposed = "ka\N{COMBINING DIAERESIS}fer"
    images = make_images(tmp_path / "images")
    for split in ("train", "val"):
        (images / split / "bees").rename(images / split / composed)
    found = isotune.run(
        experiment(images), backend="numpy", output=tmp_path / "run", plugins=numpy_plugins()
    )
    other = shutil.copytree(images, tmp_path / "other")
    (other / "val" / composed).rename(other / "val" / decomposed)
    assert found.evaluate(data=other).labels.tolist() == found.evaluate().labels.tolist()


def test_the_summary(run: Run) -> None:
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["state"] == "finished"
    assert summary["best"] == run.best.as_json()
    assert (summary["backend"], summary["device"]) == ("numpy", "cpu")
    assert summary["epochs"] == 6
    assert summary["images"] == {"train": 9, "val": 6}
    assert summary["timings"]["total"] >= summary["timings"]["train"] > 0
    found = run.folder.summary()
    assert (found.state, found.images.val, found.versions) == ("finished", 6, summary["versions"])


def test_a_run_without_a_checkpoint(run: Run, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes((run.path / "spec.yaml").read_bytes())
    with pytest.raises(RunError, match="there is no checkpoint yet"):
        isotune.open_run(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs bytes as names")
def test_names_that_are_not_utf8_are_found_again(tmp_path: Path) -> None:
    name = os.fsdecode("蜜蜂".encode("gbk"))
    folder = make_images(tmp_path / "images")
    for split in ("train", "val"):
        (folder / split / "bees").rename(folder / split / name)
    isotune.split(folder / "train", tmp_path / name, train=2, val=1)
    spec = experiment(tmp_path / name)
    run = isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=numpy_plugins())
    assert name in run.classes
    assert opened(run).evaluate().loss == run.best.val_loss
    assert run.predict(tmp_path / name / "val")

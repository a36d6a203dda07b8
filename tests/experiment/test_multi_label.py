"""Runs on images that may have several labels: training, thresholds, resume, predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isotune.errors import SpecError, StoppedError
from isotune.experiment.open import open_run
from isotune.experiment.result import Run
from isotune.exporting.card.card import write_card
from isotune.training.evaluation import MultiLabelEvaluation
from outcomes import outcome
from several_labels import CLASSES, make_table, several
from stopping import StopAt, resume
from zoo import plugins, run

SLOWLY = {"name": "sgd", "lr": 0.01, "momentum": 0.9}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_table(tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="module")
def finished(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    spec = several(table, optimizer=SLOWLY, metrics=["macro_f1"], epochs=3)
    return run("numpy", spec, tmp_path_factory.mktemp("runs") / "run")


def test_an_evaluation_is_that_of_the_best_epoch_with_its_thresholds(finished: Run) -> None:
    assert finished.classes == CLASSES
    reopened = open_run(finished.path, plugins=plugins("numpy"))
    assert reopened.best.thresholds == finished.best.thresholds
    for each in (finished, reopened):
        found = each.evaluate()
        assert isinstance(found, MultiLabelEvaluation)
        assert found.thresholds.tolist() == pytest.approx(list(finished.best.thresholds or ()))
        for name in ("loss", "accuracy", "mean_average_precision", "macro_f1"):
            assert found.metrics[name] == pytest.approx(finished.best.value(f"val_{name}")), name
    lines = (finished.path / "metrics.jsonl").read_text().splitlines()
    assert [len(json.loads(line)["thresholds"]) for line in lines] == [3, 3, 3]


def test_a_fixed_threshold_is_that_of_all_classes(finished: Run, table: Path, tmp_path: Path):
    half = finished.with_threshold(0.5)
    assert half.evaluate().thresholds.tolist() == [0.5] * 3
    assert finished.thresholds.tolist() != [0.5] * 3
    with pytest.raises(SpecError, match=r"threshold: is 1, but should be between 0 and 1"):
        finished.with_threshold(1.0)
    spec = several(table, optimizer=SLOWLY, threshold=0.25, epochs=1)
    fixed = run("numpy", spec, tmp_path / "fixed")
    assert fixed.history[0].thresholds == (0.25,) * 3
    assert fixed.evaluate().thresholds.tolist() == [0.25] * 3


def test_predictions_have_all_classes_and_those_above_their_thresholds(
    finished: Run, table: Path
) -> None:
    images = [table.parent / f"val-{number}.png" for number in range(8)]
    everything, first = finished.predict_many(images), finished.predict_many(images, top=1)
    shares = finished.evaluate().probabilities
    for row, (prediction, best) in enumerate(zip(everything, first, strict=True)):
        found = dict(prediction)
        assert [found[name] for name in CLASSES] == pytest.approx(shares[row].tolist(), rel=1e-5)
        assert prediction[:1] == best
        limits = zip(CLASSES, finished.thresholds, strict=True)
        above = {name for name, limit in limits if found[name] >= limit}
        assert set(prediction.labels) == set(best.labels) == above


def test_resumed_and_divided_batches_come_to_the_same(table: Path, tmp_path: Path) -> None:
    spec = several(table, optimizer=SLOWLY, epochs=3, loss={"class_weights": "balanced"})
    whole = run("numpy", spec, tmp_path / "whole")
    with pytest.raises(StoppedError):
        run("numpy", spec, tmp_path / "stopped", observers=[StopAt(8)])
    resume("numpy", tmp_path / "stopped")
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")
    divided = run("numpy", {**spec, "batch_size": 2, "accumulate": 2}, tmp_path / "divided")
    for one, other in zip(whole.history, divided.history, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-5)
        assert other.train_accuracy == pytest.approx(one.train_accuracy)


def test_frozen_layers_train_alike_on_features(table: Path, tmp_path: Path) -> None:
    runs = [
        run(
            "numpy",
            several(table, optimizer=SLOWLY, freeze="backbone", cache={"features": features})
            | {"transforms": {"train": [{"resize": [8, 8]}], "val": [{"resize": [8, 8]}]}},
            tmp_path / features,
        )
        for features in ("auto", "off")
    ]
    cached, plain = (each.evaluate().logits for each in runs)
    np.testing.assert_allclose(cached, plain, rtol=1e-5, atol=1e-6)


def test_mistakes_are_single_labels_in_the_order_of_confidence(finished: Run) -> None:
    found, mistakes = finished.evaluate("train"), finished.mistakes(1000, "train")
    wrong = int((found.positives != found.predicted).sum())
    assert mistakes.count == wrong == len(mistakes.shown) > 0
    shares = [example.probability for example in mistakes.shown]
    assert shares == sorted(shares, reverse=True)
    for example, position, label in zip(
        mistakes.shown, mistakes.positions, mistakes.labels, strict=True
    ):
        name, share = CLASSES[label], found.probabilities[position, label]
        missed = bool(found.positives[position, label])
        assert example.predicted == (f"not {name}" if missed else name)
        assert example.probability == pytest.approx(1 - share if missed else share, rel=1e-5)
        assert (name in example.label) == missed
    with pytest.raises(SpecError, match=r"may have several labels, so that none is confused"):
        finished.show_confusion()


def test_a_list_of_images_names_all_their_labels(finished: Run) -> None:
    lines = (finished.path / "images.jsonl").read_text().splitlines()
    assert json.loads(lines[4])[:3] == ["train", ["blue", "green"], "train-3.png"]
    assert json.loads(lines[1])[1] == []


def test_a_card_has_figures_of_labels(finished: Run, tmp_path: Path) -> None:
    for suffix in (".md", ".html"):
        text = write_card(finished, tmp_path / f"card{suffix}").read_text("utf-8")
        for word in ("exact match", "threshold", "rightly left out", "mAP"):
            assert word in text, word
        assert "calibration" not in text.lower()

"""Exported models of images that may have several labels: thresholds, verification, answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import isotune
from clients import Client
from isotune.data.images import open_labeled
from isotune.exporting.comparison import compare
from isotune.exporting.model import ExportedModel
from isotune.exporting.open import open_exported
from isotune.serving.limits import Limits
from isotune.serving.service import Service
from several_labels import CLASSES, make_table, several


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[isotune.Run, ExportedModel]:
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("several")
    spec = several(
        make_table(root / "data"),
        backbone={"name": "lenet", "weights": "none"},
        transforms={"val": [{"resize": 40}, {"center_crop": 32}]},
        epochs=1,
    )
    run = isotune.run(spec, backend="torch", device="cpu", output=root / "run")
    isotune.export(run, root / "model.onnx")
    return run, open_exported(root / "model.onnx")


def test_a_file_predicts_the_labels_of_its_run(exported) -> None:
    run, model = exported
    assert model.manifest.thresholds == pytest.approx(list(run.best.thresholds or ()))
    source = open_labeled(run.spec, run.classes)
    for flip in (False, True):
        mine, other = (each.evaluate_source(source, flip=flip) for each in exported)
        np.testing.assert_allclose(other.logits, mine.logits, rtol=1e-4, atol=1e-5)
        assert other.predicted.tolist() == mine.predicted.tolist()
        assert other.metrics == pytest.approx(dict(mine.metrics), rel=1e-4)


def test_labels_that_cross_their_threshold_are_flips(exported) -> None:
    run, model = exported
    source = open_labeled(run.spec, run.classes)
    before = run.evaluate_source(source)
    shares = before.probabilities[:, 0]
    # Halfway between two images' probabilities, and so that some are on the other side of it.
    threshold = float(np.sort(shares)[len(shares) // 2 - 1 :][:2].mean())
    report = compare(run, model.with_threshold(threshold), source).report
    crossed = np.argwhere(before.predicted != (before.probabilities >= threshold)).tolist()
    assert len(report.flips) == len(crossed) > 0
    for flip, (image, label) in zip(report.flips, crossed, strict=True):
        name = CLASSES[label]
        answers = [name, f"not {name}"] if before.predicted[image, label] else [f"not {name}", name]
        assert [flip.before, flip.after] == answers
        limit = run.thresholds[label]
        assert flip.margin == pytest.approx(
            abs(before.logits[image, label] - np.log(limit / (1 - limit))), rel=1e-4
        )


def test_the_service_answers_with_labels(exported) -> None:
    run, model = exported
    image = Path(run.spec.dataset.path).parent / "val-3.png"
    service = Service(model.with_threshold(1e-6), Limits().pixels)
    try:
        files = {"images": (image.name, image.read_bytes(), "image/png")}
        (response,) = Client(service).ask(("POST", "/predict", {"files": files}))
    finally:
        service.close()
    (result,) = response.json()["results"]
    expected = model.with_threshold(1e-6).predict(image)
    assert result["labels"] == [*expected.labels] == [name for name, _ in expected]
    assert [each["class"] for each in result["predictions"]] == result["labels"]

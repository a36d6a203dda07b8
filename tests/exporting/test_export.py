"""From a run to an ONNX file, and back to a model that predicts the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import isotune
from exporting.conftest import images
from isotune.experiment.result import Run
from tiny import experiment, make_images

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_an_onnx_file_predicts_and_evaluates_as_its_run(run: Run, tmp_path: Path) -> None:
    exported = isotune.export(run.path, tmp_path / "model.onnx")
    model = isotune.open_exported(exported.path)
    assert model.classes == run.classes
    before, after = run.evaluate(), model.evaluate()
    np.testing.assert_allclose(after.logits, before.logits, atol=1e-5)
    assert after.loss == pytest.approx(before.loss, abs=1e-6)
    for mine, theirs in zip(model.predict(images(run)), run.predict(images(run)), strict=True):
        assert [name for name, _ in mine] == [name for name, _ in theirs]
        np.testing.assert_allclose([p for _, p in mine], [p for _, p in theirs], atol=1e-6)
    report = exported.report
    assert (report.images, report.flips) == (6, [])
    assert report.accuracy_before == report.accuracy_after == before.accuracy
    assert model.manifest.verification == report
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_head_with_one_output_class_weights_and_changed_weights(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    folder = make_images(tmp_path / "images")
    for split in ("train", "val"):
        shutil.rmtree(folder / split / "cats")
    spec = experiment(
        folder,
        backbone={"name": "lenet", "weights": "none"},
        transforms={"val": [{"resize": [32, 32]}]},
        head={"name": "mlp", "hidden": [8], "outputs": "single"},
        loss={"name": "binary_cross_entropy", "class_weights": {"ants": 3.0, "bees": 1.0}},
        precision="bf16",
        epochs=1,
    )
    run = isotune.run(spec, backend="torch", output=tmp_path / "run")
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter *= 1.5
    exported = isotune.export(run, tmp_path / "new/model.onnx")
    model, report = isotune.open_exported(exported.path), exported.report
    assert report is not None and report.largest_difference < 1e-4 * report.largest_logit
    before, after = isotune.open_run(run.path).evaluate(), model.evaluate()
    assert after.logits.shape == (4, 1)
    assert not np.allclose(after.logits, before.logits, atol=0.05), "they are those of the folder"
    assert model.plan.class_weights is not None and model.plan.class_weights.tolist() == [3.0, 1.0]
    assert sum(value for _, value in model.predict(images(run)[0])) == pytest.approx(1)

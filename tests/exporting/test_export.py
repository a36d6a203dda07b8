"""From a run to an ONNX file, and back to a model that predicts the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import isotune
from exporting.conftest import images
from isotune.experiment.result import Run

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

"""Exports in fp16 and int8: smaller files with the same interface and nearly the same logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.errors import DatasetError, RunError, SpecError
from isotune.experiment.result import Run
from isotune.exporting.comparison import Comparison, compare
from isotune.exporting.onnx.calibration import evenly_by_class
from isotune.exporting.onnx.graph import OnnxGraph
from isotune.exporting.onnx.half import convert_to_half
from isotune.interfaces.dataset import Batch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LARGE = """
<ir_version: 10, opset_import: ["": 20]>
graph (uint8[n, 2, 2, 3] images) => (float[n, 12] logits, float[n, 12] probabilities)
<float weight = {4e5}, int64[2] shape = {-1, 12}> {
    pixels = Cast<to = 1>(images)
    flat = Reshape(pixels, shape)
    large = Mul(flat, weight)
    negative = Neg(large)
    logits = Div(negative, weight)
    probabilities = Softmax(logits)
}
"""
"""A graph whose values are beyond the range of fp16, without names of nodes."""


def test_fp16_halves_the_file_and_keeps_the_interface(run: Run, tmp_path: Path) -> None:
    whole = isotune.export(run, tmp_path / "whole.onnx")
    half = isotune.export(run, tmp_path / "half.onnx", precision="fp16")
    assert half.report.bytes - whole.report.bytes < -0.45 * 4 * 61_000
    assert 0 < half.report.largest_difference < 1e-3
    model = isotune.open_exported(half.path)
    assert model.manifest.precision == "fp16"
    np.testing.assert_allclose(model.evaluate().logits, run.evaluate().logits, atol=1e-3)
    written = onnx.load(half.path)
    onnx.checker.check_model(written, full_check=True)
    weights = {each.name: each.data_type for each in written.graph.initializer}
    assert weights["model.conv1.weight"] == onnx.TensorProto.FLOAT16
    assert weights["mean"] == onnx.TensorProto.FLOAT, "images are normalized in fp32"


def test_what_is_too_large_for_fp16_stays_in_fp32(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    onnx.save(onnx.parser.parse_model(LARGE), path)
    images = np.full((3, 2, 2, 3), 7, dtype=np.uint8)
    convert_to_half(path, [Batch(images, np.zeros(3, dtype=np.int32))])
    logits, probabilities = OnnxGraph(path)(images)
    np.testing.assert_array_equal(logits, -7)
    np.testing.assert_allclose(probabilities, 1 / 12, rtol=1e-6)


def test_images_are_measured_evenly_from_all_classes() -> None:
    labels = np.array([1] * 90 + [0] * 10 + [2] * 2, dtype=np.int32)
    chosen = evenly_by_class(labels, 12)
    assert np.bincount(labels[chosen]).tolist() == [5, 5, 2]
    assert chosen == evenly_by_class(labels, 12)
    assert chosen[:5] == [9, 27, 45, 63, 81]
    assert evenly_by_class(labels, 1) == [45], "of the class in the middle"
    assert evenly_by_class(labels, 1000) == list(range(102))


def test_int8_quantizes_the_weights_and_is_reproducible(run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    report = isotune.export(run, paths[0], precision="int8", accept_loss=1).report
    assert 0 < report.largest_difference < 0.02
    isotune.export(run, paths[1], precision="int8", accept_loss=1)
    graphs = [onnx.load(path).graph for path in paths]
    assert graphs[0] == graphs[1]
    weights = {each.name: each.data_type for each in graphs[0].initializer}
    assert weights["model.conv1.weight_quantized"] == onnx.TensorProto.INT8
    assert weights["mean"] == onnx.TensorProto.FLOAT
    assert np.isfinite(isotune.open_exported(paths[0]).evaluate().logits).all()


def test_a_model_that_loses_more_than_accepted_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse(*models: Any) -> Comparison:
        comparison = compare(*models)
        accuracy = comparison.report.accuracy_before - 0.02
        report = comparison.report.model_copy(update={"accuracy_after": accuracy})
        return replace(comparison, report=report)

    monkeypatch.setattr("isotune.exporting.verification.compare", worse)
    isotune.export(run, tmp_path / "a.onnx", precision="int8", accept_loss=0.03)
    (tmp_path / "a.onnx").unlink()
    with pytest.raises(RunError, match="--accept-loss") as error:
        isotune.export(run, tmp_path / "a.onnx", precision="int8")
    assert "No file was written" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_int8_needs_training_images(run: Run, tmp_path: Path) -> None:
    splits = run.spec.dataset.splits.model_copy(update={"train": "gone"})
    dataset = run.spec.dataset.model_copy(update={"splits": splits})
    moved = replace(run, spec=run.spec.model_copy(update={"dataset": dataset}))
    with pytest.raises(DatasetError, match="int8 is calibrated on training images"):
        isotune.export(moved, tmp_path / "a.onnx", precision="int8")


def test_an_accepted_loss_goes_with_a_reduced_precision(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="accept_loss: goes with fp16 and int8"):
        isotune.export(run, tmp_path / "a.onnx", accept_loss=0.1)

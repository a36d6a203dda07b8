"""Exports in fp16 and int8: smaller files with the same interface and nearly the same logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import isotune
from isotune.experiment.result import Run
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

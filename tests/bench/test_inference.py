"""How fast trained models predict: runs beside exported files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import isotune
import onnx_files
from isotune.bench.inference import (
    InferenceSetting,
    inference_measurements,
    inference_settings,
    measure_inference,
)
from isotune.bench.results import inference_table, markdown
from isotune.bench.suite import collect
from tiny import experiment, make_images, numpy_plugins

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

BASE = InferenceSetting("", 1, steps=2)


def test_a_run_and_a_file_stand_side_by_side(numpy_installed: None, tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    run, file = tmp_path / "run", tmp_path / "model.onnx"
    isotune.run(experiment(images), backend="numpy", output=run, plugins=numpy_plugins())
    onnx_files.write(file, images)
    settings = inference_settings([run, file], [4], [None], BASE)
    settings += inference_settings([tmp_path / "none"], [4], [None], BASE)
    told: list[str] = []
    results = collect(inference_measurements(settings), told.append)
    table = inference_table(results).rows
    assert [(row[0], row[1].split()[0], row[2]) for row in table] == [
        ("run", "numpy", "4"),
        ("model.onnx", "onnxruntime", "4"),
    ]
    first, second = (each["figures"] for each in results["measurements"][:2])
    assert table[0][-1] == "1.000"
    assert table[1][-1] == f"{second['batch_ms'] / first['batch_ms']:.3f}"
    assert first["images_per_second"] == pytest.approx(4e3 / first["batch_ms"])
    assert told[1] == f"isotune inference: model.onnx, batch 4: {second['batch_ms']:.1f} ms"
    assert "- isotune inference, none: " in markdown(results)
    assert str(tmp_path) not in json.dumps(results["measurements"][:2])


def test_every_backend_measures_a_run_and_none_a_file(tmp_path: Path) -> None:
    file = onnx_files.write(tmp_path / "model.onnx", make_images(tmp_path / "images"))
    base = InferenceSetting("", 1, device="cuda")
    settings = inference_settings([tmp_path / "run", file], [8], ["torch", "mindspore"], base)
    assert [(each.backend, each.device) for each in settings] == [
        ("torch", "cuda"),
        ("mindspore", "cuda"),
        (None, "auto"),
    ]
    figures = measure_inference(InferenceSetting(str(file), 3, steps=4))
    assert figures["engine"].startswith("onnxruntime ") and figures["first_batch"] > 0

"""From a run to a MindIR file, which MindSpore reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import isotune
from isotune.errors import RunError, SpecError
from isotune.experiment.result import Run
from isotune.exporting.manifest import ExportManifest
from isotune.exporting.open import open_classifier

mindspore = pytest.importorskip("mindspore")


def test_a_mindir_file_is_compared_and_holds_its_metadata(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "näch ste"
    folder.mkdir()
    exported = isotune.export(run.path, folder / "model.mindir")
    report = exported.report
    assert report is not None
    assert (report.images, report.flips) == (6, [])
    assert report.largest_difference <= 1e-5 * report.largest_logit
    assert [path.name for path in folder.iterdir()] == ["model.mindir"]

    exporter = isotune.plugins.plugins.open_backend("mindspore", "cpu").exporter
    assert exporter is not None
    properties = exporter.metadata("mindir", exported.path)
    assert ExportManifest.from_properties(properties, exported.path) == exported.manifest
    graph = mindspore.nn.GraphCell(mindspore.load(str(exported.path)))
    pixels = np.zeros((2, 32, 32, 3), np.uint8)
    logits, probabilities = (each.asnumpy() for each in graph(mindspore.Tensor(pixels)))
    np.testing.assert_allclose(probabilities, np.exp(logits) / np.exp(logits).sum(1, keepdims=True))


@pytest.mark.parametrize("option", [{"precision": "fp16"}, {"preprocess": "full"}])
def test_reduced_numbers_are_for_onnx_alone(run: Run, option: dict[str, str]) -> None:
    with pytest.raises(SpecError, match=r"are for \.onnx files"):
        isotune.export(run.path, "model.mindir", **option)  # type: ignore[arg-type]


def test_a_mindir_file_takes_no_place_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "model.mindir"
    path.write_bytes(b"anything")
    with pytest.raises(RunError, match="is for MindSpore itself"):
        open_classifier(path)

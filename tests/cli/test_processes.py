"""``--processes``, and commands in processes that a launcher has started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import isotune
from command_line import exit_code, restored_log
from isotune.errors import IsotuneError, LostProcessError, SpecError
from isotune.experiment.processes import starting
from isotune.plugins import BackendReport, plugins
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from tiny import experiment, make_images, numpy_plugins

LENET = {
    "backbone": {"name": "lenet", "weights": "none"},
    "transforms": {"train": [{"resize": [32, 32]}], "val": [{"resize": [32, 32]}]},
    "shards": 2,
}


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    with restored_log():
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def place(rank: int) -> dict[str, str]:
    """Returns the environment of a process of two, as torchrun has it."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    restarts = {"TORCHELASTIC_RESTART_COUNT": 0, "TORCHELASTIC_MAX_RESTARTS": 0}
    values = {name: str(value) for name, value in {**numbers, **restarts}.items()}
    return {**os.environ, **values, "TORCHELASTIC_RUN_ID": "test"}


def test_commands_for_one_process_say_so_once_under_a_launcher() -> None:
    pytest.importorskip("isotune_torch")
    command = [sys.executable, "-m", "isotune", "sweep", "spec.yaml"]
    first, second = (
        subprocess.run(command, env=place(rank), capture_output=True, text=True, check=False)
        for rank in range(2)
    )
    assert first.returncode == second.returncode == 2
    assert first.stderr == (
        "isotune: isotune sweep runs in one process, and a launcher has started 2: it starts"
        " `isotune run`, `isotune resume`, `isotune evaluate` and `isotune certify`.\n"
    )
    assert second.stderr == first.stdout == second.stdout == ""


def test_a_wrong_number_is_said_before_anything_starts(
    images: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"{experiment(images, shards=4)}")
    for wrong in ("0", "-1", "two", "1.5", "9999"):
        assert exit_code("run", spec, "--backend", "torch", "--processes", wrong) == 2
    assert exit_code("run", spec, "--backend", "torch", "--processes", "3") == 2
    *_, last = capfd.readouterr().err.splitlines()
    assert last.startswith("isotune: shards: 4 shards cannot be divided among 3 processes")
    for wrong_call in ({"processes": 0}, {"processes": 2, "observers": [object()]}):
        with pytest.raises(SpecError, match="processes"):
            isotune.run(spec, backend="torch", **wrong_call)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="leave plugins out"):
        isotune.run(spec, backend="numpy", processes=2, plugins=numpy_plugins())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("devices", "device", "count"),
    [
        (["cpu"], "auto", None),
        (["cuda:0", "cuda:1", "cuda:2", "cpu"], "auto", 3),
        (["cuda:0", "cuda:1", "cpu"], "cuda", 2),
        (["cuda:0", "cuda:1", "cpu"], "cuda:1", None),
        (["cuda:0", "cuda:1", "cpu"], "cpu", None),
    ],
)
def test_auto_starts_as_many_processes_as_there_are_devices(
    monkeypatch: pytest.MonkeyPatch, devices: list[str], device: str, count: int | None
) -> None:
    report = BackendReport("torch", devices=devices)
    monkeypatch.setattr(plugins, "report", lambda name: report)
    start = starting("auto", lambda: "torch", device, plugins)
    assert (start and start.count) == count


def test_processes_of_a_command_show_one_progress_and_come_to_the_bytes_of_one(
    images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"{experiment(images, **LENET)}")
    several, one = tmp_path / "several", tmp_path / "one"
    options = ("--backend", "torch", "--device", "cpu", "--output")
    assert exit_code("run", spec, *options, several, "--processes", "2") == 0
    shown, told = capfd.readouterr()
    assert exit_code("run", spec, *options, one) == 0
    expected, _ = capfd.readouterr()
    assert told == ""
    timeless = [re.split("  |;", line)[0] for line in shown.replace("several", "one").splitlines()]
    assert timeless == [re.split("  |;", line)[0] for line in expected.splitlines()]
    files = {each.relative_to(one) for each in one.rglob("*") if each.is_file()}
    assert {each.relative_to(several) for each in several.rglob("*") if each.is_file()} == files
    assert _hashes(several) == _hashes(one)
    assert (several / "images.jsonl").read_bytes() == (one / "images.jsonl").read_bytes()


def test_a_run_of_which_a_process_is_killed_is_resumed_with_another_number(
    images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    folder, spec = tmp_path / "run", experiment(images, **LENET, epochs=10_000)
    spec["checkpoint"] = {"every_steps": 2}
    failed: list[BaseException] = []
    ended = threading.Event()

    def kill() -> None:
        try:
            while len(_lines(folder / "metrics.jsonl")) < 2 and not ended.wait(0.05):
                pass
            os.kill(_process(1), signal.SIGKILL)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(IsotuneError) as caught:
            isotune.run(spec, backend="torch", device="cpu", output=folder, processes=2)
    finally:
        ended.set()
        thread.join()
    assert not failed
    assert isinstance(caught.value, LostProcessError)
    assert str(caught.value) == (
        f"process 1 of 2 was killed, or it crashed; `isotune resume {folder} --processes 2`"
        " continues the run."
    )
    assert capfd.readouterr().out == ""
    epochs = len(RunFolder(folder).history()) + 1
    isotune.resume(folder, device="cpu", overrides=[f"epochs={epochs}"], progress=False)
    epochs += 1
    changes = [f"epochs={epochs}"]
    resumed = isotune.resume(folder, device="cpu", overrides=changes, processes=2)
    assert len(resumed.history) == epochs
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.count("  goes on ") == told.err.count(f" {epochs}/{epochs} ") == 1
    alone = isotune.run(
        {**spec, "epochs": epochs}, backend="torch", device="cpu", output=tmp_path / "alone"
    )
    assert [each.values for each in resumed.history] == [each.values for each in alone.history]
    assert _hashes(folder)["model.safetensors"] == _hashes(alone.path)["model.safetensors"]


def _hashes(folder: Path) -> dict[str, str]:
    """Returns the hashes of a run's last checkpoint, except that of the manifest with the times."""
    hashes = CheckpointStore(folder / "checkpoints").load("last").manifest.sha256
    return {name: value for name, value in hashes.items() if name.endswith(".safetensors")}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _process(rank: int) -> int:
    """Returns the id of the process with this number among those that this one has started."""
    pending = [os.getpid()]
    while pending:
        pid = pending.pop()
        for task in Path(f"/proc/{pid}/task").iterdir():
            pending += [int(child) for child in (task / "children").read_text().split()]
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment and pid != os.getpid():
            return pid
    raise AssertionError(f"there is no process {rank}")

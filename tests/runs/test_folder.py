"""The run folder's files."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import pytest

from isotune.errors import RunError
from isotune.interfaces.metrics import EVERY_EPOCH, EpochMetrics
from isotune.runs.folder import RunFolder
from isotune.spec.load import load_spec
from tiny import experiment

SPEC = load_spec(experiment(Path("images")))
EPOCHS = [
    EpochMetrics(1, 3, 0.1, dict.fromkeys(EVERY_EPOCH, 0.5), 2.0, 1.0, 0.5, math.nan),
    EpochMetrics(2, 6, 0.1, dict.fromkeys(EVERY_EPOCH, 0.25), 2.0, 1.0, 0.5, 12.5),
]


def test_round_trips(tmp_path: Path) -> None:
    folder = RunFolder.create(SPEC, "numpy", tmp_path / "new/run")
    assert folder.summary().state == "unfinished"
    assert folder.history() == []
    for number, metrics in enumerate(EPOCHS, 1):
        folder.append_metrics(metrics)
        assert len((folder.path / "metrics.jsonl").read_text().splitlines()) == number
    folder.write_summary({"state": "finished", "classes": ["ä"]})

    again = RunFolder.existing(folder.path)
    assert again.spec() == SPEC
    assert [metrics.as_json() for metrics in again.history()] == [m.as_json() for m in EPOCHS]
    assert math.isnan(again.history()[0].step_ms)
    assert again.summary().state == "finished"


def test_a_used_folder_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(SPEC, "numpy", tmp_path)
    with pytest.raises(RunError, match=f"process {os.getpid()} is training there"):
        RunFolder.create(SPEC, "numpy", tmp_path)
    folder.append_metrics(EPOCHS[0])
    folder.release()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match="is there already; name a new or empty folder"):
        RunFolder.create(SPEC, "numpy", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="is there already"):
        RunFolder.create(SPEC, "numpy", tmp_path / "file")
    with pytest.raises(RunError, match="cannot be written: Not a directory"):
        RunFolder.create(SPEC, "numpy", tmp_path / "file/run")


def test_a_folder_of_its_own_for_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = {RunFolder.create(SPEC, "numpy").path for _ in range(3)}
    assert len(made) == 3
    assert {path.parent for path in made} == {Path("runs")}
    assert all(path.name.startswith("tiny-numpy-") for path in made)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    mine = RunFolder.create(SPEC, "numpy", tmp_path)
    again = RunFolder.existing(tmp_path)
    with pytest.raises(RunError, match=f"process {os.getpid()} is training there"):
        again.claim()
    mine.release()
    again.claim()
    with pytest.raises(RunError, match="is training there"):
        mine.claim()


def test_damage_is_named(tmp_path: Path) -> None:
    folder = RunFolder.create(SPEC, "numpy", tmp_path)
    folder.append_metrics(EPOCHS[0])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    with pytest.raises(RunError, match=r"metrics.jsonl:2: is damaged: it is not valid JSON"):
        folder.history()
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(RunError, match=r"summary.json: is damaged: it is not valid JSON"):
        folder.summary()
    with pytest.raises(ValueError, match="JSON"):
        folder.write_summary({"loss": math.nan})
    assert (tmp_path / "summary.json").read_text() == "{"
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["step_ms"] is None
    (tmp_path / "metrics.jsonl").write_text('{"steps": 2, "val_loss": 1.5}\n')
    with pytest.raises(RunError, match=r"jsonl:1: is damaged: epoch is missing\."):
        folder.history()


def entries(root: Path) -> dict[str, bytes | None]:
    """Returns everything below a folder: the bytes of files, None for others."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the run, whose content is somebody else's."""
    (tmp_path / "outside/epoch-0001").mkdir(parents=True)
    (tmp_path / "outside/epoch-0001/file").write_text("precious")
    (tmp_path / "outside/spec.yaml").write_text("precious: true\n")
    return tmp_path / "outside"


def test_links_out_of_the_folder_are_refused(outside: Path, tmp_path: Path) -> None:
    before = entries(outside)
    for name, use in {
        "checkpoints": lambda folder: folder.claim(),
        "spec.yaml": lambda folder: folder.spec(),
        "metrics.jsonl": lambda folder: folder.history(),
        "summary.json": lambda folder: folder.summary(),
        ".lock": lambda folder: folder.claim(),
        "figures": lambda folder: folder.subfolder("figures"),
    }.items():
        folder = RunFolder.create(SPEC, "numpy", tmp_path / f"run-{name}")
        folder.release()
        place = folder.path / name
        if place.is_dir():
            place.rmdir()
        else:
            place.unlink(missing_ok=True)
        place.symlink_to(outside if name in ("checkpoints", "figures") else outside / "spec.yaml")
        with pytest.raises(RunError, match=f"{name}: is a link, and links are not followed"):
            use(RunFolder.existing(folder.path))
    folder = RunFolder.create(SPEC, "numpy", tmp_path / "run")
    (folder.path / "metrics.jsonl").symlink_to(outside / "new.jsonl")
    with pytest.raises(RunError, match=r"metrics.jsonl: is a link"):
        folder.append_metrics(EPOCHS[0])
    assert entries(outside) == before


@pytest.mark.parametrize("name", ["spec.yaml", "metrics.jsonl", "summary.json", ".lock"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    folder = RunFolder.create(SPEC, "numpy", tmp_path)
    folder.release()
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(RunError, match=f"{name}: (is not a regular file|.*No such device)"):
        for use in (folder.spec, folder.history, folder.summary, folder.claim):
            use()


def test_a_lock_of_other_content_stays_as_it_is(tmp_path: Path) -> None:
    RunFolder.create(SPEC, "numpy", tmp_path / "run").release()
    lock, other = tmp_path / "run/.lock", tmp_path / "other"
    other.write_text("123\n")
    lock.unlink()
    lock.hardlink_to(other)
    folder = RunFolder.existing(tmp_path / "run")
    folder.claim()
    folder.release()
    assert other.read_text() == "123\n"
    lock.unlink()
    lock.write_text("a diary")
    folder.claim()
    assert lock.read_text() == "a diary"
    with pytest.raises(RunError, match="another process is training there"):
        RunFolder.existing(tmp_path / "run").claim()


def test_a_start_that_came_to_nothing_does_not_block_the_next(tmp_path: Path) -> None:
    def begin() -> RunFolder:
        folder = RunFolder.create(SPEC, "numpy", tmp_path)
        folder.release()
        return folder

    begin()
    (tmp_path / "spec.yaml").unlink()  # killed before it was written
    (tmp_path / ".spec.yaml.123.abcdef").write_text("name: t")
    (tmp_path / "checkpoints/.epoch-0001.123").mkdir()
    folder = begin()
    assert [*tmp_path.glob(".spec*"), *tmp_path.glob("checkpoints/*")] == []
    folder.write_summary({"state": "failed", "stopped_by": "BackendError: out of memory"})
    assert begin().summary().state == "unfinished"

    for name in ("mlflow.json", ".metrics.csv.123.abcdef", "events.out.tfevents.1.host.2.3"):
        (tmp_path / name).touch()  # of an observer
    begin()
    assert not (tmp_path / "mlflow.json").exists() and not [*tmp_path.glob("events*")]
    strange = tmp_path / "notes.txt"
    strange.touch()
    with pytest.raises(RunError, match="is there already"):
        begin()
    strange.unlink()
    (tmp_path / ".lock").unlink()  # a spec that a user wrote
    with pytest.raises(RunError, match="is there already"):
        begin()


def test_temporaries_of_killed_processes_are_removed(tmp_path: Path) -> None:
    folder = RunFolder.create(SPEC, "numpy", tmp_path)
    folder.release()
    before = entries(tmp_path)
    for name in (
        "spec.yaml",
        "metrics.jsonl",
        "summary.json",
        "best.pth",
        "checkpoints/index.json",
    ):
        path = tmp_path / name
        path.with_name(f".{path.name}.4711.0a1b2c").touch()
    (tmp_path / "checkpoints/.step-00000004.4711").mkdir()
    kept = tmp_path / ".notes.4711.0a1b2c"
    kept.touch()
    folder.claim()
    kept.unlink()
    assert entries(tmp_path) == before


def test_a_folder_removed_while_the_run_goes_on_is_not_made_anew(tmp_path: Path) -> None:
    folder = RunFolder.create(SPEC, "numpy", tmp_path / "run")
    folder.append_metrics(EPOCHS[0])
    shutil.rmtree(tmp_path / "run")
    for use in (
        folder.check_there,
        lambda: folder.append_metrics(EPOCHS[1]),
        lambda: folder.write_summary({}),
    ):
        with pytest.raises(RunError, match="run: was removed while the run went on; nothing"):
            use()
    assert not (tmp_path / "run").exists()
    RunFolder.create(SPEC, "numpy", tmp_path / "run")  # another run
    with pytest.raises(RunError, match="was removed while the run went on"):
        folder.append_metrics(EPOCHS[1])
    assert not (tmp_path / "run/metrics.jsonl").exists()

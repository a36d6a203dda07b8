"""The run folder's files."""

from __future__ import annotations

import json
import math
import os
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
    assert folder.summary() == {}
    assert folder.history() == []
    for number, metrics in enumerate(EPOCHS, 1):
        folder.append_metrics(metrics)
        assert len((folder.path / "metrics.jsonl").read_text().splitlines()) == number
    folder.write_summary({"state": "finished", "classes": ["ä"]})

    again = RunFolder.existing(folder.path)
    assert again.spec() == SPEC
    assert [metrics.as_json() for metrics in again.history()] == [m.as_json() for m in EPOCHS]
    assert math.isnan(again.history()[0].step_ms)
    assert again.summary() == {"state": "finished", "classes": ["ä"]}


def test_a_used_folder_is_refused(tmp_path: Path) -> None:
    RunFolder.create(SPEC, "numpy", tmp_path)
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
    with pytest.raises(RunError, match=r"metrics.jsonl:2: is not a line of metrics"):
        folder.history()
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(RunError, match=r"summary.json: is not valid JSON"):
        folder.summary()
    with pytest.raises(ValueError, match="JSON"):
        folder.write_summary({"loss": math.nan})
    assert (tmp_path / "summary.json").read_text() == "{"
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["step_ms"] is None
    (tmp_path / "metrics.jsonl").write_text('{"steps": 2, "val_loss": 1.5}\n')
    with pytest.raises(RunError, match=r"jsonl:1: .*: 'epoch' should be a whole number\."):
        folder.history()

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from isotune.errors import RunError
from isotune.reports.comparison import compare_runs
from isotune.reports.comparison_tables import curves, differences, overview
from isotune.runs.checkpoint import Checkpoint
from isotune.runs.checkpoints import CheckpointStore
from made_runs import made_manifest, made_run, save


def test_differences_are_the_largest_of_the_common_epochs(tmp_path: Path):
    first = made_run(tmp_path / "a", [(2.0, 0.50), (1.0, 0.75), (0.5, 0.75)], summary={})
    other = made_run(tmp_path / "b", [(2.0, 0.55), (0.8, 0.75)], summary={"backend": "mindspore"})
    comparison = compare_runs([first, other])
    (found,) = comparison.differences
    assert found.epochs == 2
    assert found.train_loss == pytest.approx(0.2)
    assert found.train_loss_epoch == 2
    assert found.val_accuracy == pytest.approx(0.05)
    assert (found.val_accuracy_epoch, found.val_images) == (1, 2)
    assert curves(comparison).rows[2] == ("3", "0.500000", "-", "75.00%", "-")
    assert differences(comparison).rows[0][:3] == ("2: mindspore", "1: torch", "2")


def test_epochs_without_evaluation_have_no_accuracy_to_differ_in(tmp_path: Path):
    unseen = math.nan
    first = made_run(tmp_path / "a", [(2.0, unseen), (1.0, 0.75), (0.5, 0.80)], summary={})
    other = made_run(tmp_path / "b", [(2.0, 0.55), (0.8, unseen), (0.5, 0.75)], summary={})
    third = made_run(tmp_path / "c", [(2.0, 0.55)], summary={})
    comparison = compare_runs([first, other, third])
    found, nothing = comparison.differences
    assert (found.train_loss_epoch, found.val_accuracy_epoch, found.val_images) == (2, 3, 2)
    assert (nothing.epochs, nothing.train_loss, nothing.val_accuracy) == (1, 0.0, None)
    assert curves(comparison).rows[0][-3:] == ("-", "55.00%", "55.00%")
    assert differences(comparison).rows[1][5:] == ("-", "-", "-")
    json.dumps(comparison.as_json(), allow_nan=False)


def test_the_overview_tells_two_ways_of_training_apart(tmp_path: Path):
    tuned = made_run(tmp_path / "a", [(2.0, 0.5), (1.0, 0.75)], summary={})
    features = made_run(
        tmp_path / "b",
        [(2.0, 0.5)],
        summary={"parameters": {"all": 11_000, "trainable": 257}},
        freeze={"parameters": "backbone", "batch_norm": "train", "unfreeze": {3: ["fc", "*.b"]}},
        head={"name": "mlp", "hidden": [256, 16], "outputs": "single"},
        loss="binary_cross_entropy",
    )
    before = made_run(tmp_path / "c", [], summary={"parameters": {}})
    rows = {row[0]: row[1:] for row in overview(compare_runs([tuned, features, before])).rows}
    assert rows["frozen"] == (
        "none",
        "backbone; batch norm goes on; from epoch 3 trains: fc, *.b",
        "none",
    )
    assert rows["head"] == ("linear", "mlp 256 16, one output", "linear")
    assert rows["backbone"] == ("linear, none",) * 3
    assert rows["parameters"] == ("11,000", "11,000", "-")
    assert rows["trainable"] == ("1,000", "257", "-")
    assert rows["seconds/epoch"] == ("1.5", "1.5", "-")


def test_an_unfinished_run_tells_what_its_checkpoints_know(tmp_path: Path):
    run = made_run(tmp_path / "a", [(2.0, 0.50), (1.0, 0.75)])
    saved = Checkpoint({}, {}, made_manifest(2, backend="torch"))
    save(CheckpointStore(run / "checkpoints"), saved, keep=1, best=True)
    (figures,) = compare_runs([run]).runs
    assert (figures.state, figures.backend) == ("unfinished", "torch")
    assert figures.best is not None
    assert figures.best.epoch == 2


def test_a_run_that_failed_before_its_first_epoch_can_be_compared(tmp_path: Path):
    good = made_run(tmp_path / "a", [(2.0, 0.5)], summary={})
    failed = made_run(
        tmp_path / "b",
        [],
        summary={
            "state": "stopped",
            "stopped_by": "TrainingError: nan",
            "timings": {"total": 0.2, "first_step": None, "step_ms": None},
        },
    )
    comparison = compare_runs([good, failed])
    assert comparison.differences[0].epochs == 0
    rows = {row[0]: row[1:] for row in overview(comparison).rows}
    assert rows["state"] == ("finished", "stopped")
    assert rows["total"] == ("1 min 15 s", "0.20 s")
    assert rows["best epoch"] == ("1", "-")
    plain = json.loads(json.dumps(comparison.as_json(), allow_nan=False))
    assert plain["runs"][1]["stopped_by"] == "TrainingError: nan"
    assert plain["differences"][0]["to"] == str(failed)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path):
    with pytest.raises(RunError, match="is not the folder of a run"):
        compare_runs([tmp_path])


def test_figures_that_are_missing_are_not_compared(tmp_path: Path):
    first = made_run(tmp_path / "a", [(math.nan, 0.5), (1.0, 0.75)], summary={})
    line = json.loads((first / "metrics.jsonl").read_text().splitlines()[1])
    lines = [{**line, "epoch": 1, "val_accuracy": None}, {**line, "train_loss": None}]
    other = made_run(tmp_path / "b", [], summary={})
    (other / "metrics.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    (found,) = compare_runs([first, other]).differences
    assert (found.epochs, found.train_loss, found.train_loss_epoch) == (2, None, None)
    assert (found.val_accuracy, found.val_accuracy_epoch, found.val_images) == (0.0, 2, 0)
    json.dumps(compare_runs([first, other]).as_json(), allow_nan=False)
    assert differences(compare_runs([first, other])).rows

"""Observers that a spec names: what they wrote is read back with their own libraries."""

from __future__ import annotations

import csv
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import isotune
from isotune.errors import SpecError
from isotune.interfaces.events import EpochEnded, StepEnded
from isotune.observers.kept import Kept
from isotune.spec.observer import OBSERVERS, ObserverSpec
from tiny import experiment, make_images, numpy_plugins

STEPS = [3, 6, 9]
"""Training steps up to the end of each of three epochs: nine images, by fours."""


def arguments(tmp_path: Path, **fields: Any) -> dict[str, Any]:
    images = tmp_path / "images"
    if not images.exists():
        make_images(images)
    return {
        "spec": experiment(images, **{"epochs": 3, **fields}),
        "backend": "numpy",
        "plugins": numpy_plugins(),
        "progress": False,
        "output": tmp_path / "runs" / "first",
    }


class Killed(BaseException):
    """What no observer can take for its own failure, as SIGKILL."""


def killed_and_resumed(tmp_path: Path, **fields: Any) -> Path:
    """Breaks a run off in its third epoch, and goes on from the first one's checkpoint."""
    call = arguments(tmp_path, checkpoint={"keep": 9, "every_epochs": 1}, **fields)

    def kill(event: StepEnded) -> None:
        if (event.epoch, event.step) == (3, 2):
            raise Killed

    with pytest.raises(Killed):
        isotune.run(**call, on_step_ended=kill)
    folder: Path = call["output"]
    shared = {name: call[name] for name in ("backend", "plugins", "progress")}
    isotune.resume(folder, checkpoint="epoch-0001", **shared)
    return folder


def epochs(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_csv_has_each_epoch_once(tmp_path: Path) -> None:
    folder = killed_and_resumed(tmp_path, observers=["csv"])
    with (folder / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["steps"]) for row in rows] == STEPS
    assert [float(row["val_loss"]) for row in rows] == [line["val_loss"] for line in epochs(folder)]


def test_tensorboard_reads_its_log(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = killed_and_resumed(tmp_path, observers=["tensorboard"])
    log = EventAccumulator(str(folder))
    log.Reload()
    losses = log.Scalars("loss/val")
    assert [event.step for event in losses] == STEPS
    values = [line["val_loss"] for line in epochs(folder)]
    assert [event.value for event in losses] == pytest.approx(values)
    of_steps = [event.step for event in log.Scalars("loss/step")]
    assert of_steps == sorted(set(of_steps)) and {6, 9} <= set(of_steps)
    (batch,) = log.Images("batch")
    assert (batch.width, batch.height) == (16, 16)  # four images of 8 by 8 pixels
    assert {"batch", "confusion", "mistakes"} == set(log.Tags()["images"])
    (spec,) = log.Tensors("spec")
    assert b"epochs: 3" in spec.tensor_proto.string_val[0]
    hparams = log.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"optimizer.lr" in hparams


def test_mlflow_has_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from mlflow import MlflowClient

    folder = killed_and_resumed(tmp_path, observers=[{"mlflow": {"experiment": "bees"}}])
    client = MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    found = client.get_experiment_by_name("bees")
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert run.data.params["optimizer.lr"] == "0.01"
    history = client.get_metric_history(run.info.run_id, "val_loss")
    assert [(each.step, each.value) for each in history] == [
        (line["steps"], line["val_loss"]) for line in epochs(folder)
    ]
    of_steps = [each.step for each in client.get_metric_history(run.info.run_id, "step_loss")]
    assert sorted(of_steps) == sorted(set(of_steps)) and {6, 9} <= set(of_steps)
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert names == {"spec.yaml", "summary.json", "confusion.png", "mistakes.png"}


def test_wandb_logs_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MODE": "offline", "SILENT": "true", "PROJECT": "bees"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    wandb = pytest.importorskip("wandb")
    folder = killed_and_resumed(tmp_path, observers=["wandb"])
    wandb.teardown()  # waits until its process has written everything
    files = sorted((tmp_path / "runs" / "wandb").glob("offline-run-*/run-*.wandb"))
    identity = json.loads((folder / "wandb.json").read_text())["id"]
    assert {file.stem for file in files} == {f"run-{identity}"}
    records = [record for file in files for record in offline_records(file)]
    run = next(record.run for record in records if record.HasField("run"))
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (run.project, run.display_name, config["optimizer.lr"]) == ("bees", "first", 0.01)
    rows = [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in row.item}
        for row in (record.history for record in records if record.HasField("history"))
    ]
    values = {row["_step"]: row["val_loss"] for row in rows if "val_loss" in row}
    assert values == pytest.approx({line["steps"]: line["val_loss"] for line in epochs(folder)})
    assert len([row for row in rows if "val_loss" in row]) == 3
    assert any("confusion" in name for row in rows for name in row)


def offline_records(file: Path) -> Iterator[Any]:
    """Yields the records of a file: LevelDB's log format in blocks of 32 KiB, after a header.

    The package itself reads it in Go only; what the records mean is its own protocol.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, parts = file.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind, begin = content[position + 6], position + 7
        parts += content[begin : begin + length]
        position = begin + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def test_one_that_fails_is_a_warning_and_then_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fragile(ObserverSpec):
        name: Literal["fragile"] = "fragile"

        def open(self, folder: Path) -> object:
            return self

        def isotune_epoch_ended(self, event: EpochEnded) -> None:
            raise OSError("the disk is full")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    OBSERVERS.add(Fragile)
    try:
        call = arguments(tmp_path, observers=["fragile", "mlflow", "csv"])
        with caplog.at_level(logging.WARNING, "isotune"):
            run = isotune.run(**call)
    finally:
        OBSERVERS.remove(Fragile)
    away, full = sorted(each.message for each in caplog.records if each.name.startswith("isotune"))
    assert away == ("observer fragile is left out, and the run goes on: OSError: the disk is full.")
    assert full.startswith("observer mlflow is left out, and the run goes on: ")
    assert len(run.history) == 3
    assert (run.path / "metrics.csv").exists()


def test_a_missing_package_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    run = isotune.run(**arguments(tmp_path, epochs=1), observers=["wandb"])
    assert 'pip install "isotune[wandb]"' in caplog.text
    assert len(run.history) == 1


def test_python_names_observers_beside_the_spec_s(tmp_path: Path) -> None:
    call = arguments(tmp_path, epochs=1, observers=["csv"])
    run = isotune.run(**call, observers=[{"tensorboard": {}}, "csv"])
    assert [each.name for each in run.spec.observers] == ["csv", "tensorboard"]
    message = "observers: there is no observer 'tensorbord'. Did you mean 'tensorboard'?"
    with pytest.raises(SpecError, match=message):
        isotune.run(**{**call, "output": tmp_path / "other"}, observers=["tensorbord"])
    assert not (tmp_path / "other").exists()


def test_folds_and_trials_share_a_store_and_have_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, str | None, Path]] = []

    class Placed(ObserverSpec):
        name: Literal["placed"] = "placed"

        def open(self, folder: Path) -> object:
            from isotune.observers.place import Place

            place = Place.of(folder)
            started.append((place.name, place.group, place.root))
            return self

    call = arguments(tmp_path, epochs=1)
    where = tmp_path / "runs"
    OBSERVERS.add(Placed)
    try:
        isotune.cross_validate(**{**call, "output": where / "cv"}, folds=2, observers=["placed"])
        isotune.sweep(
            **{**call, "output": where / "sweep"},
            space={"optimizer.lr": [0.1, 0.01]},
            sampler="grid",
            observers=["placed"],
        )
        isotune.run(**call, observers=["placed"])
    finally:
        OBSERVERS.remove(Placed)
    assert started == [
        ("cv/fold-1", "cv", where),
        ("cv/fold-2", "cv", where),
        ("sweep/0000", "sweep", where),
        ("sweep/0001", "sweep", where),
        ("first", None, where),
    ]


def test_what_is_kept_is_not_trusted(tmp_path: Path) -> None:
    Kept(id="abc", steps=3).write(tmp_path, "wandb")
    assert Kept.read(tmp_path, "wandb") == Kept(id="abc", steps=3)
    for text in ('{"id": "../../x"}', '{"id": 3}', "[", '{"id": "a", "steps": "3"}', "{}"):
        (tmp_path / "wandb.json").write_text(text)
        assert Kept.read(tmp_path, "wandb") is None
    (tmp_path / "mlflow.json").symlink_to(tmp_path / "wandb.json")
    (tmp_path / "wandb.json").write_text('{"id": "abc"}')
    assert Kept.read(tmp_path, "mlflow") is None

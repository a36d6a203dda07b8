"""Observers that a spec names: what they wrote is read back with their own libraries."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import isotune
from isotune.errors import IsotuneError, StoppedError
from isotune.interfaces.events import EpochEnded
from isotune.spec.observer import OBSERVERS, ObserverSpec
from tiny import experiment, make_images, numpy_plugins

EPOCHS = [1, 2, 3]


def arguments(tmp_path: Path, **fields: Any) -> dict[str, Any]:
    images = tmp_path / "images"
    if not images.exists():
        make_images(images)
    optimizer = {"name": "sgd", "lr": 0.02}
    spec = experiment(images, **{"epochs": 3, "optimizer": optimizer, **fields})
    return {
        "spec": spec,
        "backend": "numpy",
        "plugins": numpy_plugins(),
        "progress": False,
        "output": tmp_path / "runs" / "run",
    }


def stopped_and_resumed(tmp_path: Path, **fields: Any) -> Path:
    """Runs an experiment that stops after its second epoch; goes on from the checkpoint before."""
    call = arguments(tmp_path, checkpoint={"keep": 5}, **fields)

    def stop(event: EpochEnded) -> None:
        if event.metrics.epoch == 2:
            event.stop.request("enough")

    with pytest.raises(StoppedError):
        isotune.run(**call, on_epoch_ended=stop)
    folder: Path = call["output"]
    where = {name: call[name] for name in ("backend", "plugins", "progress")}
    isotune.resume(
        folder, checkpoint="epoch-0001", **where
    )  # the second epoch again, as after a kill
    return folder


def test_csv_has_each_epoch_once(tmp_path: Path) -> None:
    folder = stopped_and_resumed(tmp_path, observers=["csv"])
    with (folder / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [int(row["epoch"]) for row in rows] == EPOCHS
    assert [float(row["val_loss"]) for row in rows] == [line["val_loss"] for line in lines]


def test_tensorboard_reads_its_log(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = stopped_and_resumed(tmp_path, observers=["tensorboard"])
    log = accumulators.EventAccumulator(str(folder / "tensorboard"))
    log.Reload()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = log.Scalars("val_loss")
    assert [event.step for event in losses] == [line["steps"] for line in lines]
    assert [event.value for event in losses] == pytest.approx([line["val_loss"] for line in lines])
    assert {"batch", "confusion", "mistakes"} <= set(log.Tags()["images"])
    (image,) = log.Images("batch")
    assert (image.width, image.height) == (0, 0) or image.width == 16
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert "spec" in log.Tags()["tensors"]
    assert b"epochs: 3" in log.Tensors("spec")[0].tensor_proto.string_val[0]
    hparams = log.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"optimizer.lr" in hparams


def test_mlflow_has_one_run(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    folder = stopped_and_resumed(tmp_path, observers=[{"mlflow": {"experiment": "bees"}}])
    client = mlflow.MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    found = client.get_experiment_by_name("bees")
    (run,) = client.search_runs([found.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer.lr"] == "0.02"
    history = client.get_metric_history(run.info.run_id, "val_loss")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(each.step, each.value) for each in history] == [
        (line["epoch"], line["val_loss"]) for line in lines
    ]
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert names == {"spec.yaml", "summary.json", "confusion.png", "mistakes.png"}


def test_wandb_writes_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    call = arguments(tmp_path, observers=[{"wandb": {"project": "bees"}}])
    isotune.run(**call)
    wandb.teardown()  # waits until its process has written everything
    (file,) = call["output"].glob("wandb/offline-run-*/run-*.wandb")
    records = list(wandb_records(file))
    (run,) = (record.run for record in records if record.HasField("run"))
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (run.project, config["optimizer.lr"]) == ("bees", 0.02)
    logged: dict[str, list[float]] = {}
    for record in records:
        for item in record.history.item:
            name = item.key or ".".join(item.nested_key)
            logged.setdefault(name, []).append(json.loads(item.value_json))
    lines = read_metrics_lines(call["output"])
    assert logged["val_loss"] == pytest.approx([line["val_loss"] for line in lines])
    assert any(name.startswith("confusion") for name in logged)


def read_metrics_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def wandb_records(file: Path) -> Iterator[Any]:
    """Yields the records of an offline run: frames of a LevelDB log, after a header."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, parts = file.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def test_one_that_fails_is_a_warning_and_then_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Fragile(ObserverSpec):
        name: Literal["fragile"] = "fragile"

        def open(self, folder: Path) -> object:
            return self

        def isotune_epoch_ended(self, event: EpochEnded) -> None:
            raise OSError("the server is away")

    OBSERVERS.add(Fragile)
    try:
        with caplog.at_level(logging.WARNING):
            run = isotune.run(**arguments(tmp_path, observers=["fragile", "csv"]))
    finally:
        OBSERVERS.remove(Fragile)
    (message,) = (each.message for each in caplog.records if "fragile" in each.message)
    assert message == (
        "observer fragile is left out, and the run goes on: OSError: the server is away."
    )
    assert len(run.history) == 3
    assert (run.path / "metrics.csv").exists()


def test_names_are_observers_in_python_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    run = isotune.run(**arguments(tmp_path), observers=["csv"])
    assert (run.path / "metrics.csv").exists()
    assert [each.name for each in run.spec.observers] == ["csv"]
    with pytest.raises(IsotuneError, match="tensorboard"):
        isotune.run(**{**arguments(tmp_path), "output": tmp_path / "b"}, observers=["tensorbord"])

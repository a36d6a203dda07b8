"""Run folders made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from isotune.interfaces.metrics import EpochMetrics
from isotune.runs.checkpoint import Checkpoint, state_files, write_manifest, write_states
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.schema import EpochSoFar, LineageEntry, Manifest, MetricsLine
from tiny import experiment


def epoch(number: int, train_loss: float, val_accuracy: float, **others: float) -> EpochMetrics:
    """Returns an epoch's metrics; an accuracy of NaN stands for no evaluation."""
    return EpochMetrics(
        epoch=number,
        steps=number * 3,
        learning_rate=0.01,
        values={
            "train_loss": train_loss,
            "train_accuracy": 0.5,
            "val_loss": val_accuracy * 0 + 0.25,
            "val_accuracy": val_accuracy,
            **others,
        },
        train_seconds=1.0,
        val_seconds=0.5,
        data_seconds=0.1,
        step_ms=20.0,
    )


def made_manifest(step: int, within: bool = False, **changes: Any) -> Manifest:
    """Returns the manifest after `step` epochs of one step each, or `step` steps in the first."""
    ended = [] if within else [MetricsLine.of(epoch(n, 1.0, 0.5)) for n in range(1, step + 1)]
    number = len(ended) or 1
    sums = dict.fromkeys(EpochSoFar.model_fields, 1)
    values = {
        "spec": {},
        "backend": "numpy",
        "lineage": [LineageEntry(step=0, backend="numpy", device="cpu")],
        "classes": ["ä", "b"],
        "class_weights": None,
        "images": 4,
        "epoch": number,
        "step": step,
        "step_in_epoch": step if within else None,
        "random": {"seed": 0, "epoch": 0, "step": step},
        "metrics": MetricsLine.of(epoch(number, 1.0, 0.5)),
        "epoch_so_far": EpochSoFar(**{**sums, "epoch": number, "steps": step}) if within else None,
        "history": ended,
        "best": None,
    }
    return Manifest(**{**values, **changes})


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes the files of a checkpoint into an empty folder."""
    states = state_files(checkpoint.model, checkpoint.optimizer, checkpoint.average)
    write_manifest(folder, checkpoint.manifest, write_states(folder, states))


def save(store: CheckpointStore, checkpoint: Checkpoint, *, keep: int, best: bool = False) -> None:
    """Writes a checkpoint, which becomes the last one."""
    states = state_files(checkpoint.model, checkpoint.optimizer, checkpoint.average)
    manifest = checkpoint.manifest
    store.finish(store.begin(manifest.name, states), manifest, keep=keep, best=best)


def made_run(
    folder: Path,
    curve: Sequence[tuple[float, float]],
    *,
    summary: dict[str, Any] | None = None,
    images: int = 40,
    **changes: Any,
) -> Path:
    """Writes a run folder whose epochs have these training losses and validation accuracies.

    Without `summary` the run has not ended; with it, its values replace the usual ones.
    `changes` are those of its spec.
    """
    epochs = [epoch(number, *values) for number, values in enumerate(curve, 1)]
    folder.mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(experiment(Path("images"), **changes)))
    lines = "".join(json.dumps(metrics.as_json()) + "\n" for metrics in epochs)
    (folder / "metrics.jsonl").write_text(lines)
    if summary is not None:
        evaluated = [metrics for metrics in epochs if metrics.evaluated]
        best = max(evaluated, key=lambda metrics: metrics.val_accuracy, default=None)
        usual = {
            "state": "finished",
            "stopped_by": None,
            "backend": "torch",
            "device": "cpu",
            "versions": {"torch": "2.4.0"},
            "images": {"train": 100, "val": images},
            "parameters": {"all": 11_000, "trainable": 1_000},
            "best": best.as_json() if best else None,
            "timings": {"total": 75.0, "first_step": 1.5, "step_ms": 20.0},
        }
        (folder / "summary.json").write_text(json.dumps({**usual, **summary}))
    return folder

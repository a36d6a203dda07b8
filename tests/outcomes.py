"""What a run came to, read from the files of its folder as docs/checkpoints.md specifies them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TIMES = {"train_seconds", "val_seconds", "data_seconds", "step_ms"}
"""Values of a line of metrics that differ from run to run."""


def state_files(folder: Path) -> dict[str, bytes]:
    """Returns the bytes of the tensors of the last checkpoint, and of the best model."""
    checkpoints = folder / "checkpoints"
    index = json.loads((checkpoints / "index.json").read_text("utf-8"))
    last, best = checkpoints / index["kept"][-1], checkpoints / index["best"]
    files = {
        "model": last / "model.safetensors",
        "optimizer": last / "optimizer.safetensors",
        "average": last / "average.safetensors",
        "best": best / "model.safetensors",
        "best average": best / "average.safetensors",
    }
    return {what: path.read_bytes() for what, path in files.items() if path.exists()}


def outcome(folder: Path) -> dict[str, Any]:
    """Returns the bytes of a run's last and best state and of its files of weights, its metrics,
    and its best checkpoint.
    """
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return {
        "states": state_files(folder),
        "files": {path.name: path.read_bytes() for path in folder.glob("best.*")},
        "metrics": [
            {key: value for key, value in json.loads(line).items() if key not in TIMES}
            for line in lines
        ],
        "best": json.loads((folder / "checkpoints/index.json").read_text("utf-8"))["best"],
    }


def is_finished(folder: Path) -> bool:
    """Whether the run's summary says that it is finished."""
    summary = folder / "summary.json"
    return summary.exists() and json.loads(summary.read_text("utf-8"))["state"] == "finished"

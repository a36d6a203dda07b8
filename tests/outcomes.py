"""What a run came to, read from the files of its folder as docs/checkpoints.md specifies them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TIMES = {"train_seconds", "val_seconds", "data_seconds", "step_ms"}
"""Values of a line of metrics that differ from run to run."""


def state_files(folder: Path) -> dict[str, bytes]:
    """Returns the bytes of the last checkpoint's model and optimizer, and of the best model."""
    checkpoints = folder / "checkpoints"
    index = json.loads((checkpoints / "index.json").read_text("utf-8"))
    last, best = checkpoints / index["kept"][-1], checkpoints / index["best"]
    return {
        "model": (last / "model.safetensors").read_bytes(),
        "optimizer": (last / "optimizer.safetensors").read_bytes(),
        "best": (best / "model.safetensors").read_bytes(),
    }


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

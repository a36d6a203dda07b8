"""What killed processes and failed starts leave in a run folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.images import FILE as IMAGES
from isotune.storage.atomic import is_draft_of

SPEC, METRICS, SUMMARY, LOCK = "spec.yaml", "metrics.jsonl", "summary.json", ".lock"
CHECKPOINTS = "checkpoints"

OBSERVED = ("metrics.csv", "mlflow.json", "wandb.json")
"""Files that observers write, each in one piece."""

WRITTEN = (SPEC, METRICS, SUMMARY, IMAGES, *OBSERVED)
"""Files that a run writes, each in one piece."""

EVENTS = "events.out.tfevents."
"""How the names of TensorBoard's files begin."""

WEIGHTS_DRAFT = re.compile(r"\.(\w[\w .-]*\.(?:safetensors|pth|ckpt))\.[0-9]+\.[0-9a-f]+")
"""Temporary name of a file that ``checkpoint.save_best_as`` may name."""


def came_to_nothing(path: Path) -> bool:
    """Whether a folder holds only what a start leaves that saved nothing of its training.

    A start creates the lock first. So a folder with a spec that a user wrote is another one.
    """
    try:
        entries = {entry.name: entry for entry in os.scandir(path)}
        files = [entry for name, entry in entries.items() if name != CHECKPOINTS]
        return (
            LOCK in entries
            and all(entry.is_file(follow_symlinks=False) for entry in files)
            and all(e.name == LOCK or is_written(e.name) or is_temporary(e.name) for e in files)
            and (METRICS not in entries or entries[METRICS].stat().st_size == 0)
            and CheckpointStore(path / CHECKPOINTS).holds_only_temporaries()
        )
    except OSError:
        return False


def remove_temporaries(path: Path) -> None:
    """Removes what killed processes were writing into a run folder.

    Only the process that has claimed the run may call it.

    Raises:
        OSError: the folder cannot be read, or a file cannot be removed.
    """
    for entry in path.iterdir():
        if is_temporary(entry.name):
            entry.unlink(missing_ok=True)
    CheckpointStore(path / CHECKPOINTS).remove_temporaries()


def is_written(name: str) -> bool:
    """Whether a run or one of its observers writes a file of this name."""
    return name in WRITTEN or name.startswith(EVENTS)


def is_temporary(name: str) -> bool:
    """Whether this is the temporary name of a file of a run folder."""
    if any(is_draft_of(name, own) for own in WRITTEN):
        return True
    weights = WEIGHTS_DRAFT.fullmatch(name)
    return weights is not None and is_draft_of(name, weights[1])

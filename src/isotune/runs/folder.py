"""The run folder on disk.

::

    spec.yaml          the resolved spec
    metrics.jsonl      one line an epoch
    summary.json       versions, device, timings, best epoch; written when the run ends
    checkpoints/       see isotune.runs.checkpoints
    best.ckpt          the best weights, if and as the spec's checkpoint.save_best_as names them
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from isotune.errors import RunError
from isotune.runs.events import EpochMetrics
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.loading import dump_spec, load_spec


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    @classmethod
    def create(cls, spec: ExperimentSpec, backend: str, path: Path | None = None) -> RunFolder:
        """Makes a new folder: `path`, or ``runs/NAME-BACKEND-TIME`` in the working directory.

        Raises:
            RunError: the folder exists and is not empty, or cannot be written.
        """
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        wanted = path or Path("runs") / f"{spec.name}-{backend}-{stamp}"
        if wanted.exists() and (not wanted.is_dir() or any(wanted.iterdir())):
            if path is not None:
                raise RunError(f"{wanted}: is there already; name a new or empty folder.")
            wanted = _free(wanted)
        folder = cls(wanted)
        try:
            folder.checkpoints.mkdir(parents=True, exist_ok=True)
            write_atomically(wanted / "spec.yaml", yaml.safe_dump(dump_spec(spec), sort_keys=False))
        except OSError as error:
            raise RunError(f"{wanted}: cannot be written: {error.strerror}.") from error
        return folder

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """Opens a run's folder.

        Raises:
            RunError: there is none at `path`.
        """
        path = Path(path)
        try:
            found = (path / "spec.yaml").is_file()
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}.") from error
        if not found:
            raise RunError(f"{path}: is not the folder of a run (it has no spec.yaml).")
        return cls(path)

    def spec(self) -> ExperimentSpec:
        """Reads the run's resolved spec."""
        return load_spec(self.path / "spec.yaml")

    def append_metrics(self, metrics: EpochMetrics) -> None:
        """Adds an epoch's line to ``metrics.jsonl``."""
        line = json.dumps(metrics.as_json())
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def history(self) -> list[EpochMetrics]:
        """Reads all epochs' metrics.

        Raises:
            RunError: a line is damaged.
        """
        path = self.path / "metrics.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        history = []
        for number, line in enumerate(lines, 1):
            try:
                history.append(EpochMetrics.from_json(json.loads(line)))
            except (ValueError, TypeError, AttributeError) as error:
                raise RunError(f"{path}:{number}: is not a line of metrics: {error}.") from error
        return history

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes ``summary.json``."""
        text = json.dumps(summary, indent=2, allow_nan=False)
        write_atomically(self.path / "summary.json", text + "\n")

    def summary(self) -> dict[str, Any]:
        """Reads ``summary.json``; empty while the run has not ended.

        Raises:
            RunError: the file is damaged.
        """
        path = self.path / "summary.json"
        if not path.exists():
            return {}
        try:
            return dict(json.loads(path.read_text("utf-8")))
        except ValueError as error:
            raise RunError(f"{path}: is not valid JSON: {error}.") from error


def write_atomically(path: Path, text: str) -> None:
    """Writes a file that is either whole or absent, whatever happens meanwhile."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _free(path: Path) -> Path:
    number = 2
    while (candidate := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return candidate

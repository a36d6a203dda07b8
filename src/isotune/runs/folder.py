"""The run folder on disk.

::

    spec.yaml          the resolved spec
    images.jsonl       one line an image: see isotune.runs.images
    metrics.jsonl      one line an epoch
    summary.json       backend and device; once the run has ended, versions, timings, best epoch
    checkpoints/       see isotune.runs.checkpoints
    best.ckpt          the best weights, if and as the spec's checkpoint.save_best_as names them
    .lock              locked by the training process
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import yaml

from isotune.errors import RunError
from isotune.interfaces.metrics import EpochMetrics
from isotune.runs.checkpoint import with_current_keys
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec, load_spec
from isotune.storage.atomic import write_atomically
from isotune.storage.locks import try_lock
from isotune.storage.paths import is_new_or_empty

LOCK = ".lock"


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._lock: IO[str] | None = None

    @classmethod
    def create(cls, spec: ExperimentSpec, backend: str, path: Path | None = None) -> RunFolder:
        """Creates a new folder: `path`, or ``runs/NAME-BACKEND-TIME`` in the working directory.

        This process has claimed it until :meth:`release`.

        Raises:
            RunError: the folder exists and is not empty, or cannot be written.
        """
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        wanted = path or Path("runs") / f"{spec.name}-{backend}-{stamp}"
        if path is None and not _is_free(wanted):
            wanted = _free(wanted)
        folder = cls(wanted)
        _refuse_used(wanted)
        try:
            folder.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(wanted, error) from error
        folder.claim()
        try:
            if (wanted / "spec.yaml").exists():  # another process was faster
                _refuse_used(wanted)
            folder.write_spec(spec)
        except RunError:
            folder.release()
            raise
        return folder

    def claim(self) -> None:
        """Claims the folder for this process until :meth:`release` or the end of the process.

        Raises:
            RunError: a running process has claimed it, it cannot be written, or its file system
                has no locks.
        """
        try:
            lock = (self.path / LOCK).open("a+", encoding="utf-8")
            if try_lock(lock.fileno()):
                lock.truncate(0)
                lock.write(f"{os.getpid()}\n")
                lock.flush()
                self._lock = lock
                return
        except OSError as error:
            raise _unwritable(self.path, error) from error
        with lock:
            lock.seek(0)
            owner = lock.read().strip()
        raise RunError(
            f"{self.path}: process {owner} is training there; wait for its end, or stop it."
        )

    def release(self) -> None:
        """Gives up the claim."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """Opens a run's folder.

        Raises:
            RunError: there is none at `path`.
        """
        path = Path(path)
        try:
            exists = (path / "spec.yaml").is_file()
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}.") from error
        if not exists:
            raise RunError(f"{path}: is not the folder of a run (it has no spec.yaml).")
        return cls(path)

    def spec(self) -> ExperimentSpec:
        """Reads the run's resolved spec."""
        return load_spec(self.path / "spec.yaml")

    def write_spec(self, spec: ExperimentSpec) -> None:
        """Writes ``spec.yaml``.

        Raises:
            RunError: it cannot be written.
        """
        self._write("spec.yaml", yaml.safe_dump(dump_spec(spec), sort_keys=False))

    def append_metrics(self, metrics: EpochMetrics) -> None:
        """Appends an epoch's line to ``metrics.jsonl``.

        Raises:
            RunError: it cannot be written.
        """
        path = self.path / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(_line(metrics))
        except OSError as error:
            raise _unwritable(path, error) from error

    def write_metrics(self, history: Iterable[EpochMetrics]) -> None:
        """Replaces the lines of ``metrics.jsonl`` with those of these epochs.

        Raises:
            RunError: it cannot be written.
        """
        self._write("metrics.jsonl", "".join(map(_line, history)))

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
        """Writes ``summary.json``.

        Raises:
            RunError: it cannot be written.
        """
        self._write("summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def summary(self) -> dict[str, Any]:
        """Reads ``summary.json``, whose ``state`` is unfinished, finished, stopped or failed.

        Raises:
            RunError: the file is damaged.
        """
        path = self.path / "summary.json"
        if not path.exists():
            return {}
        try:
            return with_current_keys(dict(json.loads(path.read_text("utf-8"))))
        except ValueError as error:
            raise RunError(f"{path}: is not valid JSON: {error}.") from error

    def _write(self, name: str, text: str) -> None:
        try:
            write_atomically(self.path / name, text)
        except OSError as error:
            raise _unwritable(self.path / name, error) from error


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(f"{path}: cannot be written: {error.strerror or error}.")


def _line(metrics: EpochMetrics) -> str:
    return json.dumps(metrics.as_json()) + "\n"


def _is_free(path: Path) -> bool:
    return is_new_or_empty(path, ignored=[LOCK])


def _refuse_used(path: Path) -> None:
    if not _is_free(path):
        raise RunError(f"{path}: is there already; name a new or empty folder.")


def _free(path: Path) -> Path:
    number = 2
    while not _is_free(candidate := path.with_name(f"{path.name}-{number}")):
        number += 1
    return candidate

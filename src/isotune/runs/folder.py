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
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from isotune.errors import RunError
from isotune.interfaces.metrics import EpochMetrics
from isotune.runs.leftovers import (
    CHECKPOINTS,
    LOCK,
    METRICS,
    SPEC,
    SUMMARY,
    came_to_nothing,
    is_written,
    remove_temporaries,
)
from isotune.runs.read import MOST_EPOCHS, checked, damaged, parse_json, read_bytes, unusable
from isotune.runs.schema import MetricsLine, Summary
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec, load_spec
from isotune.storage.atomic import write_atomically
from isotune.storage.locks import open_lock, read_owner, try_lock, write_owner
from isotune.storage.paths import is_new_or_empty
from isotune.storage.untrusted import append_regular, refuse_link

CROSS_VALIDATION = "cross-validation.json"
"""The file by which the folder of a cross-validation is known, which has a run for each fold."""

SWEEP = "sweep.json"
"""The file by which the folder of a sweep is known, which has a run for each trial."""

LARGEST_SPEC, LARGEST_SUMMARY, LARGEST_METRICS = 1 << 18, 4 << 20, 48 << 20
"""Largest sizes of files in bytes, far above those of any run."""


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        self._lock: int | None = None
        self._claimed: os.stat_result | None = None

    @classmethod
    def create(cls, spec: ExperimentSpec, backend: str, path: Path | None = None) -> RunFolder:
        """Creates a new folder: `path`, or ``runs/NAME-BACKEND-TIME`` in the working directory.

        `path` may be there if it is empty, or if an earlier start in it came to nothing. This
        process has claimed the folder until :meth:`release`.

        Raises:
            RunError: the folder is in use, or cannot be written.
        """
        try:
            folder = cls(path or new_folder(spec.name, backend))
            folder._refuse_used()
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path or Path("runs"), error) from error
        folder.claim()
        try:
            folder._refuse_used()  # another process may have been faster
            folder._clear()
            folder.write_spec(spec)
        except BaseException:
            folder.release()
            raise
        return folder

    def claim(self) -> None:
        """Claims the folder for this process until :meth:`release` or the end of the process.

        Removes what a killed process was writing.

        Raises:
            RunError: a running process has claimed it, it cannot be written, or its file system
                has no locks.
        """
        try:
            lock = open_lock(self.path / LOCK)
        except OSError as error:
            raise unwritable(self.path / LOCK, error) from error
        try:
            self._take(lock)
        except OSError as error:
            os.close(lock)
            raise unwritable(self.path, error) from error
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def release(self) -> None:
        """Gives up the claim."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def check_there(self) -> None:
        """Checks that the folder is still the one that this process has claimed.

        Raises:
            RunError: it was removed, or replaced by another one.
        """
        try:
            there = self._claimed is None or (
                os.path.samestat(self._claimed, self.path.stat())
                and self.checkpoints.is_dir()
                and (self.path / SPEC).is_file()
            )
        except OSError:
            there = False
        if not there:
            raise RunError(f"{self.path}: was removed while the run went on; nothing can be saved.")

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """Opens a run's folder.

        Raises:
            RunError: there is none at `path`.
        """
        path = Path(path)
        try:
            (path / SPEC).lstat()
        except (FileNotFoundError, NotADirectoryError, ValueError):
            advice = ""
            with suppress(OSError, ValueError):
                (path / CROSS_VALIDATION).lstat()
                advice = f" It is a cross-validation's; {path / 'fold-1'} is that of its first run."
            with suppress(OSError, ValueError):
                (path / SWEEP).lstat()
                advice = f" It is a sweep's, whose runs are in {path / 'trials'}."
            raise RunError(
                f"{path}: is not the folder of a run (it has no {SPEC}).{advice}"
            ) from None
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}.") from error
        return cls(path)

    def subfolder(self, name: str) -> Path:
        """Returns the path of a folder inside this one, which need not exist.

        Raises:
            RunError: it is a link, which may lead elsewhere.
        """
        path = self.path / name
        try:
            refuse_link(path)
        except OSError as error:
            raise unusable(path, error) from error
        return path

    def spec(self, overrides: Iterable[str] = ()) -> ExperimentSpec:
        """Reads the run's resolved spec.

        Args:
            overrides: Settings such as ``"epochs=20"``, as after ``--set``.

        Raises:
            RunError: it is no regular file, or too large for a spec.
            SpecError: it is not a spec, or an override is wrong.
        """
        read_bytes(self.path / SPEC, LARGEST_SPEC)
        return load_spec(self.path / SPEC, overrides)

    def write_spec(self, spec: ExperimentSpec) -> None:
        """Writes ``spec.yaml``.

        Raises:
            RunError: it cannot be written.
        """
        self._write(SPEC, yaml.safe_dump(dump_spec(spec), sort_keys=False))

    def append_metrics(self, metrics: EpochMetrics) -> None:
        """Appends an epoch's line to ``metrics.jsonl``.

        Raises:
            RunError: it cannot be written, or the folder was removed.
        """
        self.check_there()
        path = self.path / METRICS
        try:
            append_regular(path, _line(metrics).encode())
        except OSError as error:
            raise unwritable(path, error) from error

    def write_metrics(self, history: Iterable[EpochMetrics]) -> None:
        """Replaces the lines of ``metrics.jsonl`` with those of these epochs.

        Raises:
            RunError: it cannot be written.
        """
        self._write(METRICS, "".join(map(_line, history)))

    def history(self) -> list[EpochMetrics]:
        """Reads all epochs' metrics.

        Raises:
            RunError: a line is damaged.
        """
        path = self.path / METRICS
        if not os.path.lexists(path):
            return []
        lines = read_bytes(path, LARGEST_METRICS).removesuffix(b"\n").split(b"\n")
        if len(lines) > MOST_EPOCHS:
            raise damaged(path, f"it has {len(lines)} lines")
        places = ((f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line)
        return [
            checked(MetricsLine, parse_json(line, where), where).metrics() for where, line in places
        ]

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes ``summary.json``.

        Raises:
            RunError: it cannot be written, or the folder was removed.
        """
        self.check_there()
        self._write(SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def summary(self) -> Summary:
        """Reads ``summary.json``; without it, the run is unfinished.

        Raises:
            RunError: the file is damaged.
        """
        path = self.path / SUMMARY
        if not os.path.lexists(path):
            return Summary()
        return checked(Summary, parse_json(read_bytes(path, LARGEST_SUMMARY), path), path)

    def _write(self, name: str, text: str) -> None:
        try:
            write_atomically(self.path / name, text)
        except OSError as error:
            raise unwritable(self.path / name, error) from error

    def _take(self, lock: int) -> None:
        lock_training(self.path, lock)
        refuse_link(self.checkpoints)
        self.checkpoints.mkdir(exist_ok=True)
        remove_temporaries(self.path)
        self._claimed = self.path.stat()

    def _refuse_used(self) -> None:
        if not (is_new_or_empty(self.path, ignored=[LOCK]) or came_to_nothing(self.path)):
            raise RunError(f"{self.path}: is there already; name a new or empty folder.")

    def _clear(self) -> None:
        """Removes what an earlier start left that came to nothing."""
        for entry in self.path.iterdir():
            if is_written(entry.name):
                entry.unlink()


class FollowedFolder(RunFolder):
    """The folder of a run as the processes see it that do not write it: they leave it alone."""

    def claim(self) -> None:
        """Does nothing."""

    def check_there(self) -> None:
        """Does nothing."""

    def append_metrics(self, metrics: EpochMetrics) -> None:
        """Does nothing."""

    def _write(self, name: str, text: str) -> None:
        """Does nothing."""


def lock_training(folder: Path, lock: int) -> None:
    """Locks a folder for the training of this process.

    Args:
        folder: The folder.
        lock: Its open lock file.

    Raises:
        RunError: Another process is training there.
    """
    if not try_lock(lock):
        owner = read_owner(lock)
        process = "another process" if owner is None else f"process {owner}"
        raise RunError(f"{folder}: {process} is training there; wait for its end, or stop it.")
    write_owner(lock)


def unwritable(path: Path, error: OSError) -> RunError:
    """Returns the error about a file or folder that cannot be written, or is something else."""
    reason = error.strerror or str(error)
    if reason.startswith("is "):  # a link, say
        return unusable(Path(error.filename or path), error)
    return RunError(f"{path}: cannot be written: {reason}.")


def _line(metrics: EpochMetrics) -> str:
    return json.dumps(metrics.as_json()) + "\n"


def new_folder(name: str, backend: str) -> Path:
    """Creates a folder in ``runs`` that no other process has, and returns its path."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{name}-{backend}-{stamp}"
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in count(2):
        with suppress(FileExistsError):
            path.mkdir()
            break
        path = path.with_name(f"{name}-{backend}-{stamp}-{number}")
    return path

"""The folder of a sweep on disk.

::

    sweep.json         the spec and the search space, and how it is searched
    trials.db          Optuna's storage, unless the sweep has a database elsewhere
    trials/0007/       the run of a trial: see isotune.runs.folder
    trials/.0007.lock  locked by the process that trains it
    trials.json        all trials, and what came of them
    trials.csv         the same as a table
    best.yaml          the spec of the best trial, for ``isotune run``
    .sweep.lock        locked while a process begins a trial, or writes what came of one
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from isotune.errors import RunError
from isotune.interfaces.sweep import Trial
from isotune.runs.folder import SWEEP, unwritable
from isotune.runs.read import checked, parse_json, read_bytes, unusable
from isotune.runs.schema import Count, FileModel, Many, Number, Seconds
from isotune.spec.base import Meaning
from isotune.spec.metrics import Monitor
from isotune.storage.atomic import is_draft_of, write_atomically
from isotune.storage.locks import open_lock, try_lock
from isotune.storage.untrusted import refuse_link
from isotune.storage.waiting import exclusive

DESCRIPTION = SWEEP
DATABASE, TRIALS = "trials.db", "trials"
TRIALS_JSON, TRIALS_CSV, BEST = "trials.json", "trials.csv", "best.yaml"

_WRITTEN = (DESCRIPTION, TRIALS_JSON, TRIALS_CSV, BEST)
_DATABASE_FILES = (DATABASE, f"{DATABASE}-journal", f"{DATABASE}-wal", f"{DATABASE}-shm")

LARGEST_DESCRIPTION, LARGEST_TRIALS = 1 << 20, 256 << 20
"""Largest sizes of files in bytes, far above any."""

MOST_TRIALS = 100_000
"""Bound on the number of trials."""

TRIAL = re.compile("[0-9]{4,6}")
"""Names of trials' run folders."""

LOCK = re.compile(rf"\.({TRIAL.pattern})\.lock")
"""Names of trials' locks."""

Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["none", "median", "successive_halving", "hyperband"]


class SweepFile(FileModel):
    """``sweep.json``.

    Attributes:
        format: Version of the file.
        backend: Name of the backend that trains the trials.
        study: Name of the study in Optuna's storage.
        database: Address of the database, without user and password; None for :data:`DATABASE`.
        monitor: Name of the metric by which trials are compared.
        sampler: How values are chosen.
        pruner: How trials are ended early.
        seed: Seed of the sampler.
        spec: The spec as it was given, as plain data.
        space: The search space as plain data.
    """

    format: Annotated[Literal[1], Meaning("1")] = 1
    backend: str
    study: str
    database: str | None
    monitor: Monitor
    sampler: Sampler
    pruner: Pruner
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    spec: dict[str, Any]
    space: dict[str, Any]


class TrialLine(FileModel):
    """A trial in ``trials.json``; see :class:`Trial`."""

    number: Annotated[Count, Field(lt=MOST_TRIALS)]
    state: Literal["running", "complete", "pruned", "failed"]
    value: Number | None
    epoch: Count | None
    epochs: Count
    seconds: Seconds | None
    reason: str | None
    parameters: Annotated[dict[str, int | Number | str], Many]


class TrialsFile(FileModel):
    """``trials.json``."""

    monitor: Monitor
    trials: Annotated[list[TrialLine], Field(max_length=MOST_TRIALS, fail_fast=True)]


class SweepFolder:
    """One sweep's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a sweep has begun in a folder."""
        return os.path.lexists(path / DESCRIPTION)

    def trial(self, number: int) -> Path:
        """Returns the run folder of a trial, which need not exist.

        Raises:
            RunError: It is a link, or leads through one.
        """
        return self.inside(TRIALS, f"{number:04d}")

    def begun(self) -> list[int]:
        """Returns the numbers of the trials that have a run folder.

        Raises:
            RunError: The folder cannot be read.
        """
        try:
            names = [entry.name for entry in self.inside(TRIALS).iterdir()]
        except OSError as error:
            raise unusable(self.path / TRIALS, error) from error
        return sorted(int(name) for name in names if TRIAL.fullmatch(name))

    def inside(self, *names: str) -> Path:
        """Returns a path in this folder, which need not exist.

        Raises:
            RunError: It is a link, or leads through one.
        """
        path = self.path
        for name in names:
            path /= name
            try:
                refuse_link(path)
            except OSError as error:
                raise unwritable(path, error) from error
        return path

    def database(self) -> Path:
        """Returns the path of Optuna's storage, which need not exist.

        Raises:
            RunError: It, or a file that SQLite may open beside it, is a link.
        """
        path, *_ = map(self.inside, _DATABASE_FILES)
        return path

    def description(self) -> SweepFile:
        """Reads ``sweep.json``.

        Raises:
            RunError: It is missing or damaged.
        """
        path = self.path / DESCRIPTION
        if not self.is_one(self.path):
            raise RunError(f"{self.path}: is not the folder of a sweep (it has no {DESCRIPTION}).")
        data = parse_json(read_bytes(path, LARGEST_DESCRIPTION), path)
        return checked(SweepFile, data, path)

    def describe(self, description: SweepFile) -> None:
        """Writes ``sweep.json``.

        Raises:
            RunError: It cannot be written.
        """
        self.write(DESCRIPTION, json.dumps(description.model_dump(), indent=2) + "\n")

    def write_trials(self, monitor: Monitor, trials: Iterable[Trial]) -> None:
        """Writes ``trials.json``.

        Raises:
            RunError: It cannot be written.
        """
        lines = [vars(trial) for trial in trials]
        text = json.dumps({"monitor": monitor, "trials": lines}, indent=1, allow_nan=False)
        self.write(TRIALS_JSON, text + "\n")

    def trials(self) -> list[Trial]:
        """Reads the trials that have begun so far, in their order.

        Raises:
            RunError: The file is damaged.
        """
        path = self.path / TRIALS_JSON
        if not os.path.lexists(path):
            return []
        data = parse_json(read_bytes(path, LARGEST_TRIALS), path)
        return [Trial(**dict(line)) for line in checked(TrialsFile, data, path).trials]

    def create(self) -> None:
        """Creates the folder.

        Raises:
            RunError: It is used for something else, or cannot be written.
        """
        if not (self.is_one(self.path) or self._is_unused()):
            raise RunError(
                f"{self.path}: is there already, and not a sweep's; name a new or empty folder."
            )
        try:
            self.inside(TRIALS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def remove_unused(self) -> None:
        """Removes the folder if no run has begun in it, as a run that cannot start leaves none."""
        with suppress(OSError, RunError):
            with self.locked():
                if self.begun() or not self._is_idle():
                    return
                shutil.rmtree(self.inside(TRIALS))
                for name in (*_DATABASE_FILES, *_WRITTEN):
                    (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()

    def _is_idle(self) -> bool:
        """Whether no process has claimed a trial."""
        locks = [LOCK.fullmatch(entry.name) for entry in self.inside(TRIALS).iterdir()]
        handles = [self.claim(int(found[1])) for found in locks if found]
        for handle in handles:
            if handle is not None:
                os.close(handle)
        return None not in handles

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes waiting until the end of the block.

        Raises:
            RunError: The folder cannot be written, or its file system has no locks.
        """
        with ExitStack() as held:
            try:
                held.enter_context(exclusive(self.path / "sweep"))
            except OSError as error:
                raise unwritable(self.path, error) from error
            yield

    def claim(self, number: int) -> int | None:
        """Claims a trial for this process, until it ends or closes what is returned.

        Returns:
            A file descriptor, or None if a running process has claimed it.

        Raises:
            RunError: The lock cannot be written.
        """
        path = self.inside(TRIALS) / f".{number:04d}.lock"
        try:
            handle = open_lock(path)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            if try_lock(handle):
                return handle
        except OSError as error:
            os.close(handle)
            raise unwritable(path, error) from error
        os.close(handle)
        return None

    def remove_claim(self, number: int) -> None:
        """Removes the lock of a trial that has ended. The caller has locked the folder."""
        with suppress(OSError):
            (self.inside(TRIALS) / f".{number:04d}.lock").unlink(missing_ok=True)

    def write(self, name: str, text: str) -> None:
        """Writes a file.

        Raises:
            RunError: It cannot be written.
        """
        try:
            write_atomically(self.path / name, text)
        except OSError as error:
            raise unwritable(self.path / name, error) from error

    def remove_temporaries(self) -> None:
        """Removes what killed processes were writing. The caller has locked the folder."""
        for entry in list(self.path.iterdir()):
            if any(is_draft_of(entry.name, name) for name in _WRITTEN):
                entry.unlink(missing_ok=True)

    def _is_unused(self) -> bool:
        """Whether the folder is new, empty or of a start that came to nothing."""
        try:
            names = [entry.name for entry in self.path.iterdir()]
            return all(
                name == ".sweep.lock"
                or is_draft_of(name, DESCRIPTION)
                or (name == TRIALS and not any((self.path / name).iterdir()))
                for name in names
            )
        except FileNotFoundError:
            return True
        except OSError:
            return False

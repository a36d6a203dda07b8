"""The folder of a cross-validation on disk.

::

    cross-validation.json   the spec, and into how many folds the images are divided, how
    fold-1/                 the run that validates on the first fold: see isotune.runs.folder
    predictions/            see isotune.runs.out_of_fold
    metrics.json            once all folds have ended: their metrics, mean and standard deviation
    metrics.csv             the same as a table
    predictions.csv         out-of-fold predictions of all images
    .lock                   locked by the training process
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from pydantic import Field

from isotune.errors import RunError
from isotune.runs.folder import CROSS_VALIDATION, lock_training, unwritable
from isotune.runs.leftovers import LOCK
from isotune.runs.out_of_fold import OutOfFold, read_out_of_fold, remove_temporaries
from isotune.runs.read import checked, parse_json, read_bytes
from isotune.runs.schema import FileModel
from isotune.spec.base import Meaning
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.fold import FoldSpec
from isotune.spec.load import load_spec
from isotune.spec.split import DivideBy
from isotune.storage.atomic import atomic_file, is_draft_of
from isotune.storage.locks import open_lock
from isotune.storage.untrusted import refuse_link

DESCRIPTION = CROSS_VALIDATION
METRICS_JSON, METRICS_CSV, PREDICTIONS_CSV = "metrics.json", "metrics.csv", "predictions.csv"

_WRITTEN = (DESCRIPTION, METRICS_JSON, METRICS_CSV, PREDICTIONS_CSV)

LARGEST = 1 << 20
"""Largest size of :data:`DESCRIPTION` in bytes, far above any."""

MOST_FOLDS = 10_000
"""Bound on the number of folds that is read."""


class CrossValidationFile(FileModel):
    """``cross-validation.json``.

    Attributes:
        format: Version of the file.
        backend: Name of the backend that trains the folds unless another one is asked for.
        folds: Number of folds.
        by: As in :class:`FoldSpec`.
        seed: As in :class:`FoldSpec`.
        spec: The loaded spec, without a fold, as plain data.
    """

    format: Annotated[Literal[1], Meaning("1")] = 1
    backend: str
    folds: Annotated[int, Field(ge=2, le=MOST_FOLDS)]
    by: DivideBy
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    spec: dict[str, Any]

    def fold(self, number: int) -> FoldSpec:
        """Returns the part of a spec that says which fold a run is, from 1."""
        return FoldSpec(number=number, folds=self.folds, by=self.by, seed=self.seed)


class CrossValidationFolder:
    """One cross-validation's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a cross-validation has begun in a folder."""
        return os.path.lexists(path / DESCRIPTION)

    def fold(self, number: int) -> Path:
        """Returns the run folder of a fold, from 1, which need not exist.

        Raises:
            RunError: It is a link.
        """
        return self.subfolder(f"fold-{number}")

    def subfolder(self, name: str) -> Path:
        """Returns the path of a folder inside this one, which need not exist.

        Raises:
            RunError: It is a link.
        """
        path = self.path / name
        try:
            refuse_link(path)
        except OSError as error:
            raise unwritable(path, error) from error
        return path

    def description(self) -> CrossValidationFile:
        """Reads ``cross-validation.json``.

        Raises:
            RunError: It is missing or damaged.
        """
        path = self.path / DESCRIPTION
        if not self.is_one(self.path):
            raise RunError(
                f"{self.path}: is not the folder of a cross-validation (it has no {DESCRIPTION})."
            )
        return checked(CrossValidationFile, parse_json(read_bytes(path, LARGEST), path), path)

    def spec(self, description: CrossValidationFile) -> ExperimentSpec:
        """Returns the spec of the folds, without a fold.

        Raises:
            SpecError: It is not a spec.
        """
        return load_spec(description.spec)

    def describe(self, description: CrossValidationFile) -> None:
        """Writes ``cross-validation.json``.

        Raises:
            RunError: It cannot be written.
        """
        self.write(DESCRIPTION, json.dumps(description.model_dump(), indent=2) + "\n")

    def predictions(self) -> OutOfFold:
        """Reads the out-of-fold predictions of all images.

        Raises:
            RunError: A fold has not ended, or a file is damaged.
        """
        return read_out_of_fold(self.path, self.description().folds)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Creates the folder, and keeps other processes out of it until the end of the block.

        Raises:
            RunError: It is used for something else, a running process has claimed it, or it cannot
                be written.
        """
        if not (self.is_one(self.path) or self._is_unused()):
            raise RunError(
                f"{self.path}: is there already, and not a cross-validation's; name a new or empty"
                " folder."
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open_lock(self.path / LOCK)
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            self._take(lock)
            yield
        finally:
            os.close(lock)

    def remove(self) -> None:
        """Removes the folder if no fold has begun in it."""
        with suppress(OSError):
            for name in (DESCRIPTION, LOCK):
                (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()

    def write(self, name: str, text: str) -> None:
        """Writes a file.

        Raises:
            RunError: It cannot be written.
        """
        with self.opened(name) as file:
            file.write(text)

    @contextmanager
    def opened(self, name: str) -> Iterator[TextIO]:
        """Opens a file for text that appears under its name at the end of the block.

        Raises:
            RunError: It cannot be written.
        """
        try:
            with atomic_file(self.path / name) as file:
                stream = TextIOWrapper(file, "utf-8", newline="")
                yield stream
                stream.detach()
        except OSError as error:
            raise unwritable(self.path / name, error) from error

    def _is_unused(self) -> bool:
        """Whether the folder is new, empty or of a start that came to nothing."""
        try:
            names = [entry.name for entry in self.path.iterdir()]
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return all(name == LOCK or is_draft_of(name, DESCRIPTION) for name in names)

    def _take(self, lock: int) -> None:
        try:
            lock_training(self.path, lock)
            for entry in list(self.path.iterdir()):
                if any(is_draft_of(entry.name, name) for name in _WRITTEN):
                    entry.unlink(missing_ok=True)
            remove_temporaries(self.path)
        except OSError as error:
            raise unwritable(self.path, error) from error

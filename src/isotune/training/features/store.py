"""Stores features in memory, or in files that later runs reuse."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isotune.storage.atomic import atomic_file
from isotune.storage.caches import FEATURES
from isotune.storage.sealed import HEADER, open_sealed, seal, write_sealed
from isotune.storage.waiting import exclusive

log = logging.getLogger(__name__)

Rows = NDArray[np.float32]
"""Features of some images, shape (N, ...)."""


@dataclass(frozen=True)
class Draft:
    """Features that are being computed.

    Attributes:
        rows: Filled by the caller.
        file: The file that `rows` maps; None in memory.
    """

    rows: Rows
    file: Path | None


class FeatureStore:
    """Features of one run in memory, and those of all runs in ``$ISOTUNE_HOME/cache/features``.

    Where these files cannot be written, later runs reuse nothing, and a temporary file holds
    what does not fit into memory.

    Args:
        memory: Maximum number of bytes of features in memory.
        disk: Maximum number of bytes of features in files; the least recently used files of
            other runs are removed.
    """

    def __init__(self, memory: int, disk: int) -> None:
        self._memory = memory
        self._disk = disk
        self._mapped = 0
        self._folder = FEATURES.folder

    @contextmanager
    def computing(self, key: str) -> Iterator[None]:
        """Lets one process at a time compute the features of this name; the others wait for them.

        Where the folder has no locks, each computes them.
        """
        file = self._file(key)
        with ExitStack() as held:
            with suppress(OSError):
                waiting = partial(log.info, "another run computes %s; waiting for it", file)
                held.enter_context(exclusive(file, waiting))
            yield

    def version(self, key: str) -> tuple[int, int] | None:
        """Returns numbers that differ once features of this name are stored anew, or None."""
        with suppress(OSError):
            status = self._file(key).lstat()
            return status.st_ino, status.st_ctime_ns
        return None

    def load(self, key: str, rows: int) -> Rows | None:
        """Returns the features that an earlier run stored, `rows` of them, or None.

        A file that is damaged, or that holds other features, is logged and counts as missing.
        """
        file = self._file(key)
        features = open_sealed(file, key, np.float32)
        if features is None or features.shape[:1] != (rows,):
            return None
        with suppress(OSError):
            os.utime(file)  # the most recently used is removed last
        if features.nbytes <= self._memory:
            self._memory -= features.nbytes
            return np.array(features)
        return np.asarray(features)

    def release(self, rows: Rows) -> None:
        """Gives back the memory of features that were loaded, and that nobody uses."""
        if rows.base is None:
            self._memory += rows.nbytes

    def draft(self, shape: tuple[int, ...], files: int = 0) -> Draft | None:
        """Returns space for features of this shape, or None if there is none.

        Args:
            shape: The shape.
            files: Number of such features that other runs should find in files; there has to be
                room for all of them.
        """
        size = int(np.prod(shape)) * 4
        if size * files > self._disk:
            return None
        if size <= self._memory:
            self._memory -= size
            return Draft(np.empty(shape, np.float32), None)
        if size > self._disk - self._mapped:
            return None
        for folder in (self._folder, Path(tempfile.gettempdir())):
            with suppress(OSError):
                draft = _mapped(folder, shape, size)
                self._mapped += size
                return draft
        return None

    def keep(self, draft: Draft, key: str | None) -> Rows:
        """Returns the features of a filled draft and stores them for later runs under `key`."""
        with suppress(OSError):
            if key is not None and draft.rows.nbytes <= self._disk:
                self._save(draft, key)
        self.discard(draft)
        return np.asarray(draft.rows)

    def discard(self, draft: Draft) -> None:
        """Removes the unfinished file of a draft, if any; its memory stays mapped."""
        if draft.file is not None:
            with suppress(OSError):
                draft.file.unlink(missing_ok=True)

    def _save(self, draft: Draft, key: str) -> None:
        file = self._file(key)
        if draft.file is None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(file) as stream:
                write_sealed(stream, key, draft.rows)
        elif draft.file.parent != file.parent:
            return
        else:
            if isinstance(draft.rows, np.memmap):
                draft.rows.flush()
            with draft.file.open("r+b") as stream:
                seal(stream, key, draft.rows)
            draft.file.replace(file)
        FEATURES.make_room(file, self._disk)

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.features"


def _mapped(folder: Path, shape: tuple[int, ...], size: int) -> Draft:
    part = _new_file(folder)
    try:
        if shutil.disk_usage(folder).free < size:
            raise OSError("no room")
        rows: Rows = np.memmap(part, np.float32, "w+", HEADER, shape)
        if hasattr(os, "posix_fallocate"):
            # A hole that a full disk has no room for would end the process, not raise.
            with part.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, part.stat().st_size)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return Draft(rows, part)


def _new_file(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
    os.close(handle)
    return Path(name)

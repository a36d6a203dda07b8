"""Caches what runs find out about image files, so that the next one need not read them again.

Of each file this is a digest of its content, and why it cannot be read as an image. Both hold as
long as the file's stamp (see :mod:`isotune.data.caches.stamps`) is the same and can be trusted,
otherwise as long as its digest is the same; the reason also as long as the same code checks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.facts import Facts, joined, packed, places, unpacked
from isotune.data.caches.stamps import DIGEST, Digests, Stamps, file_digest, settled, stamp
from isotune.data.workers import in_threads
from isotune.storage.caches import CHECKED
from isotune.storage.sealed import cache_sealed, open_sealed
from isotune.storage.untrusted import open_content

Check = Callable[[BinaryIO, str], str]
"""Returns why a file, open at its beginning and given its path, is no readable image, or an empty
string."""

IN_MEMORY = 16 << 20
"""Number of bytes of a file that is read at once."""

PART = 1 << 16
"""Number of files that are examined at a time, which bounds the memory it takes."""


class CheckedFiles(ABC):
    """Image files, wherever they are: in a folder, or inside another file.

    What is found out is cached in a file under ``$ISOTUNE_HOME/cache/checked``. If that cannot be
    read or written, nothing is cached.

    Args:
        place: Where the files are. Other places have other caches.
        names: A name for each file, in which a zero byte does not occur.
    """

    def __init__(self, place: bytes, names: Sequence[str]) -> None:
        self._names = names
        self._known: Facts | None = None
        self._version = ""
        self._examined = np.zeros(len(names), np.bool_)
        self._changed = False
        self._key = hashlib.sha256(place).hexdigest()[:32]

    def __len__(self) -> int:
        """Returns the number of files."""
        return len(self._names)

    @abstractmethod
    def open(self, index: int) -> BinaryIO:
        """Opens file `index` for reading.

        Raises:
            OSError: It cannot be opened.
        """

    @abstractmethod
    def identify(self, index: int) -> str:
        """Returns what messages call file `index`, usually its path."""

    @abstractmethod
    def stamp(self, index: int) -> tuple[int, int, int, int]:
        """Returns the stamp of file `index`, or zeros if it cannot be found."""

    def stamps(self, indices: NDArray[np.int64], workers: int | None) -> Stamps:
        """Returns the stamps of some files.

        Args:
            indices: Which files.
            workers: Number of threads; None chooses.
        """
        taken = in_threads(self.stamp, indices.tolist(), workers)
        return np.array(taken, np.int64).reshape(len(indices), 4)

    def digests(self, workers: int | None = None) -> Digests:
        """Returns the digests of the files' contents.

        Args:
            workers: Number of reading threads; None chooses.
        """
        if not self._examined.all():
            for start in range(0, len(self), PART):
                self.examine(range(start, min(start + PART, len(self))), None, "", workers)
            self.save()
        return self._facts.digests

    def unchanged(self) -> bool:
        """Whether all files have the stamps that they had when their digests were computed."""
        indices = np.flatnonzero(self._examined)
        parts = (indices[start : start + PART] for start in range(0, len(indices), PART))
        return all((self._facts.stamps[part] == self.stamps(part, None)).all() for part in parts)

    def examine(
        self, indices: Sequence[int], check: Check | None, version: str, workers: int | None = None
    ) -> dict[int, str]:
        """Reads some of the files, unless it is known that they have not changed.

        Args:
            indices: Which files.
            check: Checks a file; None computes digests only.
            version: Changes whenever `check` might return something else for the same file.
            workers: Number of reading threads; None chooses.

        Returns:
            Why files among them are no readable images, by index.
        """
        facts, now = self._facts, time.time_ns()
        if check is not None and version != self._version:
            facts.checked[:] = False
            facts.problems.clear()
            self._version = version
        some = np.asarray(indices, np.int64)
        stamps = self.stamps(some, workers)
        sure = (facts.stamps[some] == stamps).all(axis=1) & facts.settled[some]
        if check is not None:
            sure &= facts.checked[some]
        unread = some[~sure].tolist()
        in_threads(partial(self._read, check), unread, workers)
        facts.stamps[some], facts.settled[some] = stamps, settled(stamps, now)
        self._examined[some] = True
        self._changed = self._changed or bool(unread)
        return {index: facts.problems[index] for index in some.tolist() if index in facts.problems}

    def save(self) -> None:
        """Caches what was found out, if anything was."""
        if not self._changed:
            return
        data = packed(joined(self._names), self._version, self._facts)
        cache_sealed(self._file, self._key, data)
        self._changed = False

    @property
    def _facts(self) -> Facts:
        """What is known of the files; each thread writes to those that it reads."""
        if self._known is None:
            self._known = self._load()
        return self._known

    def _read(self, check: Check | None, index: int) -> None:
        facts, problem = self._facts, None
        try:
            with self.open(index) as file:
                digest = file_digest(file)
                if digest == facts.digests[index].tobytes() and facts.checked[index]:
                    problem = facts.problems.get(index, "")
                if problem is None and check is not None:
                    file.seek(0)
                    problem = check(file, self.identify(index))
        except OSError as error:
            digest, problem = bytes(DIGEST), (error.strerror or str(error)).lower()
        facts.digests[index] = np.frombuffer(digest, np.uint8)
        facts.checked[index] = problem is not None
        facts.problems.pop(index, None)
        if problem:
            facts.problems[index] = problem

    @property
    def _file(self) -> Path:
        return CHECKED.folder / f"{self._key}.files"

    def _load(self) -> Facts:
        """Returns the facts that an earlier run cached."""
        data = open_sealed(self._file, self._key, np.uint8)
        if data is not None:
            with contextlib.suppress(ValueError, LookupError, TypeError):
                names, self._version, facts = unpacked(data)
                if names == joined(self._names):
                    return facts
                self._changed = True
                return facts.at(places(self._names, names))
        self._changed = True
        return Facts.unknown(len(self))


class FolderFiles(CheckedFiles):
    """The image files of a folder.

    Args:
        folder: The folder.
        names: Paths of the files in it.
        part: Name of the split, where several have their files in the same folder.
    """

    def __init__(self, folder: Path, names: Sequence[str], part: str = "") -> None:
        super().__init__(os.fsencode(folder.resolve()) + b"\0" + os.fsencode(part), names)
        self._folder = folder

    def open(self, index: int) -> BinaryIO:
        """Opens file `index` for reading."""
        return open_content(self.identify(index), IN_MEMORY)

    def identify(self, index: int) -> str:
        """Returns the path of file `index`."""
        return f"{self._folder}{os.sep}{self._names[index]}"

    def stamp(self, index: int) -> tuple[int, int, int, int]:
        """Returns the stamp of file `index`, or zeros if it cannot be found."""
        return stamp(self.identify(index))

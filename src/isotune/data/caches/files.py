"""Caches what runs find out about image files, so that the next one need not read them again.

Of each file this is a digest of its content, and why it cannot be read as an image. Both hold as
long as the file's stamp (see :mod:`isotune.data.caches.stamps`) is the same and can be trusted,
otherwise as long as its digest is the same; the reason also as long as the same code checks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.stamps import DIGEST, Digests, Stamps, file_digest, settled, stamp
from isotune.data.workers import in_threads
from isotune.storage import home
from isotune.storage.atomic import atomic_file
from isotune.storage.sealed import open_sealed, write_sealed
from isotune.storage.untrusted import open_regular

Check = Callable[[BinaryIO, str], str]
"""Returns why a file, open at its beginning and given its path, is no readable image, or an empty
string."""


@dataclass(frozen=True)
class _Facts:
    """What is known of N files; an unknown one has a stamp of zeros and is not settled.

    Attributes:
        stamps: Their stamps when they were read.
        settled: Whether the same stamp means the same content: bool, shape (N,).
        digests: Their contents' digests.
        problems: Why each cannot be read, ``""`` if it can, None if it was not checked.
    """

    stamps: Stamps
    settled: NDArray[np.bool_]
    digests: Digests
    problems: list[str | None]

    @classmethod
    def unknown(cls, count: int) -> _Facts:
        return cls(
            np.zeros((count, 4), np.int64),
            np.zeros(count, np.bool_),
            np.zeros((count, DIGEST), np.uint8),
            [None] * count,
        )

    def at(self, indices: Sequence[int]) -> _Facts:
        """Returns the facts of other files in another order; -1 stands for an unknown one."""
        chosen, unknown = np.asarray(indices, np.int64), _Facts.unknown(1)
        return _Facts(
            np.concatenate([self.stamps, unknown.stamps])[chosen],
            np.concatenate([self.settled, unknown.settled])[chosen],
            np.concatenate([self.digests, unknown.digests])[chosen],
            [(*self.problems, None)[index] for index in indices],
        )


class CheckedFiles(ABC):
    """Image files, wherever they are: in a folder, or inside another file.

    What is found out is cached in a file under ``$ISOTUNE_HOME/cache/checked``. If that cannot be
    read or written, nothing is cached.

    Args:
        place: Where the files are. Other places have other caches.
        names: A name for each file, in which a zero byte does not occur.
    """

    def __init__(self, place: bytes, names: Sequence[str]) -> None:
        self._names = list(names)
        self._facts: _Facts | None = None
        self._key = hashlib.sha256(place).hexdigest()[:32]

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

    def digests(self, workers: int | None = None) -> Digests:
        """Returns the digests of the files' contents.

        Args:
            workers: Number of reading threads; None chooses.
        """
        if self._facts is None:
            self._facts = self._examine(None, "", workers)
        return self._facts.digests

    def unchanged(self) -> bool:
        """Whether all files have the stamps that they had when their digests were computed."""
        return self._facts is None or bool((self._facts.stamps == self._stamps(None)).all())

    def problems(self, check: Check, version: str, workers: int | None = None) -> list[str]:
        """Returns why each file is no readable image, ``""`` if it is one.

        Args:
            check: Checks a file.
            version: Changes whenever `check` might return something else for the same file.
            workers: Number of reading threads; None chooses.
        """
        self._facts = self._examine(check, version, workers)
        return [problem or "" for problem in self._facts.problems]

    def _stamps(self, workers: int | None) -> Stamps:
        taken = in_threads(self.stamp, range(len(self._names)), workers)
        return np.array(taken, np.int64).reshape(len(self._names), 4)

    def _examine(self, check: Check | None, version: str, workers: int | None) -> _Facts:
        """Returns what is known of the files after reading those that may have changed."""
        now, count = time.time_ns(), len(self._names)
        stamps = self._stamps(workers)
        names, cached_version, cached = self._load()
        known = cached if names == self._names else cached.at(_places(self._names, names))
        problems = known.problems
        if check is not None and version != cached_version:
            problems = [None] * count
        same = (known.stamps == stamps).all(axis=1)

        def read(index: int) -> tuple[bytes, str | None]:
            try:
                with self.open(index) as file:
                    digest, problem = file_digest(file), problems[index]
                    if digest != known.digests[index].tobytes():
                        problem = None
                    if problem is None and check is not None:
                        file.seek(0)
                        problem = check(file, self.identify(index))
            except OSError as error:
                return bytes(DIGEST), (error.strerror or str(error)).lower()
            return digest, problem

        sure = (same & known.settled).tolist()
        unread = [
            i for i in range(count) if not sure[i] or (check is not None and problems[i] is None)
        ]
        digests, problems = known.digests.copy(), list(problems)
        for index, found in zip(unread, in_threads(read, unread, workers), strict=True):
            digests[index] = np.frombuffer(found[0], np.uint8)
            problems[index] = found[1]
        facts = _Facts(stamps, settled(stamps, now), digests, problems)
        if unread or names != self._names:
            self._save(version if check is not None else cached_version, facts)
        return facts

    @property
    def _file(self) -> Path:
        return home.home() / "cache" / "checked" / f"{self._key}.files"

    def _load(self) -> tuple[list[str], str, _Facts]:
        """Returns the cached names, the version of the check, and the facts of these names."""
        data = open_sealed(self._file, self._key, np.uint8)
        if data is not None:
            with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
                content = json.loads(data.tobytes())
                names = content["names"].split("\0")
                facts = _Facts(
                    _unpacked(content["stamps"], np.int64).reshape(len(names), 4),
                    _unpacked(content["settled"], np.bool_).reshape(len(names)),
                    _unpacked(content["digests"], np.uint8).reshape(len(names), DIGEST),
                    [content["problems"].get(name, "") for name in names],
                )
                return names, content["version"], facts
        return [], "", _Facts.unknown(0)

    def _save(self, version: str, facts: _Facts) -> None:
        content = {
            "version": version,
            # One string is parsed much faster than a hundred thousand.
            "names": "\0".join(self._names),
            "stamps": facts.stamps.tobytes().hex(),
            "settled": facts.settled.tobytes().hex(),
            "digests": facts.digests.tobytes().hex(),
            "problems": {
                name: problem
                for name, problem in zip(self._names, facts.problems, strict=True)
                if problem != ""
            },
        }
        data = np.frombuffer(json.dumps(content).encode(), np.uint8)
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self._file) as file:
                write_sealed(file, self._key, data)


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
        return open_regular(Path(self.identify(index)), follow=True)

    def identify(self, index: int) -> str:
        """Returns the path of file `index`."""
        return f"{self._folder}{os.sep}{self._names[index]}"

    def stamp(self, index: int) -> tuple[int, int, int, int]:
        """Returns the stamp of file `index`, or zeros if it cannot be found."""
        return stamp(self.identify(index))


def _places(names: Sequence[str], cached: Sequence[str]) -> list[int]:
    """Returns the position of each name among the cached ones, -1 if it is not there."""
    places = {name: place for place, name in enumerate(cached)}
    return [places.get(name, -1) for name in names]


def _unpacked(text: str, dtype: type[np.generic]) -> NDArray[Any]:
    return np.frombuffer(bytes.fromhex(text), dtype)

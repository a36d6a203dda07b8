"""Reads at any position of many files from many threads, with few of them open."""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar

from isotune.storage.untrusted import open_regular

Version = tuple[int, int, int]
"""Size in bytes, modification time in nanoseconds and inode of a file."""

KEPT = 32
"""Number of files that stay open while no thread reads from them."""

_INT64 = (1 << 63) - 1
"""Keeps figures within what arrays of integers hold."""


class Closable(Protocol):
    """What is open until it is closed."""

    def close(self) -> object:
        """Closes it."""


T = TypeVar("T", bound=Closable)


class OpenFiles(Generic[T]):
    """Opens files when they are first read, and keeps those open that were read last. Thread-safe.

    A thread has a file alone while it reads from it, so that as many more may be open as threads
    read at the same time.

    Args:
        opener: Opens a file.
        kept: Number of files that stay open while no thread reads from them.
    """

    def __init__(self, opener: Callable[[Path], T], kept: int = KEPT) -> None:
        self._open, self._kept = opener, kept
        self._idle: OrderedDict[int, tuple[Path, T]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, path: Path) -> Iterator[T]:
        """Lends an open file to this thread alone.

        Raises:
            OSError: It cannot be opened.
        """
        file = self._taken(path) or self._open(path)
        try:
            yield file
        except BaseException:
            file.close()
            raise
        self._give_back(path, file)

    def _taken(self, path: Path) -> T | None:
        with self._lock:
            for key in reversed(self._idle):
                if self._idle[key][0] == path:
                    return self._idle.pop(key)[1]
        return None

    def _give_back(self, path: Path, file: T) -> None:
        with self._lock:
            self._idle[id(file)] = path, file
            oldest = self._idle.popitem(last=False)[1][1] if len(self._idle) > self._kept else None
        if oldest is not None:
            oldest.close()


def _open(path: Path) -> BinaryIO:
    return open_regular(path, follow=True)


_FILES: OpenFiles[BinaryIO] = OpenFiles(_open)
"""The files of all datasets."""


def read_at(path: Path, version: Version, offset: int, size: int) -> bytes:
    """Returns `size` bytes of a file, from `offset` on; fewer where it ends before.

    Args:
        path: The file, or a link to it.
        version: What :func:`version_of` gave when the positions in it were found.
        offset: Number of bytes before the first one.
        size: Number of bytes.

    Raises:
        OSError: It cannot be read, or is another version.
    """
    with _FILES.lent(path) as file:
        check_version(file, path, version)
        if hasattr(os, "pread"):  # a forked process shares the position of an open file
            return os.pread(file.fileno(), size, offset)
        file.seek(offset)
        return file.read(size)


def check_version(file: BinaryIO, path: Path, version: Version) -> None:
    """Checks that an open file has not changed.

    Args:
        file: The file.
        path: Its path, for the error.
        version: What :func:`version_of` gave before.

    Raises:
        OSError: It has.
    """
    if version_of(file) != version:
        raise OSError(errno.ESTALE, "has changed since it was opened", str(path))


def version_of(file: BinaryIO) -> Version:
    """Returns the version of an open file."""
    status = os.fstat(file.fileno())
    return status.st_size & _INT64, status.st_mtime_ns & _INT64, status.st_ino & _INT64

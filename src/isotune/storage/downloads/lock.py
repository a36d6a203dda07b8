"""Locks a file while one process downloads it; others wait."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from isotune.storage.downloads.errors import DownloadError
from isotune.storage.locks import open_lock, try_lock

POLL = 0.1
"""Seconds between attempts to take the lock."""


@contextlib.contextmanager
def locked(target: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Lets one process (and one of its threads) at a time create `target`; the others wait.

    The operating system locks a hidden file beside `target` and releases it when the process ends;
    a file that is left over locks nothing.

    Args:
        target: the file to create. Its folder is created if necessary.
        waiting: called once if another process holds the lock.

    Raises:
        DownloadError: the folder cannot be written, or its file system does not support locks.
    """
    path = target.with_name(f".{target.name}.lock")
    handle = _acquire(path, waiting)
    try:
        yield
    finally:
        # Removed before it is released, so that waiting processes see that it is gone.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)
        if sys.platform == "win32":  # cannot remove an open file
            with contextlib.suppress(OSError):
                path.unlink()


def _acquire(path: Path, waiting: Callable[[], None]) -> int:
    announced = False
    while True:
        handle = _open(path)
        try:
            if _try_lock(handle, path) and _is_still(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if not announced:
            waiting()
            announced = True
        time.sleep(POLL)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_lock(path)
    except OSError as error:
        raise DownloadError(
            f"folder {path.parent} cannot be written ({error.strerror}); ISOTUNE_HOME may name"
            " another"
        ) from error


def _is_still(handle: int, path: Path) -> bool:
    """Whether `path` is still the file that was locked, not a newer one."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False


def _try_lock(handle: int, path: Path) -> bool:
    try:
        return try_lock(handle)
    except OSError as error:
        raise DownloadError(
            f"folder {path.parent} is on a file system without locks ({error.strerror});"
            " ISOTUNE_HOME may name another"
        ) from error

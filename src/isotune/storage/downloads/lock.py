"""A lock between processes that goes with its owner, even when that is killed."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from isotune.storage.downloads.errors import DownloadError
from isotune.storage.locks import try_lock

POLL = 0.1
"""Seconds between two looks whether the lock is free."""


@contextlib.contextmanager
def locked(target: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Lets one process (and in it one thread) at a time make `target`; the others wait.

    The lock is one of the operating system on a hidden file beside `target`, which goes away
    with the process; a file that is left over means nothing.

    Args:
        target: what is to be made; its folder is made if need be.
        waiting: called once if another has the lock.

    Raises:
        DownloadError: the folder cannot be written, or its file system has no locks.
    """
    path = target.with_name(f".{target.name}.lock")
    handle = _acquire(path, waiting)
    try:
        yield
    finally:
        # Removed before it is given up: whoever waits for it sees that it is gone.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)
        if sys.platform == "win32":  # where no open file is removed
            with contextlib.suppress(OSError):
                path.unlink()


def _acquire(path: Path, waiting: Callable[[], None]) -> int:
    told = False
    while True:
        handle = _open(path)
        try:
            if _try_lock(handle, path) and _is_still(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if not told:
            waiting()
            told = True
        time.sleep(POLL)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise DownloadError(
            f"folder {path.parent} cannot be written ({error.strerror}); ISOTUNE_HOME may name"
            " another"
        ) from error


def _is_still(handle: int, path: Path) -> bool:
    """Tells whether `path` is the file that was locked, not a newer one."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
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

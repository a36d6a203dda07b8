"""Locks that one process holds while others wait for it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from isotune.storage.locks import open_lock, try_lock

POLL = 0.1
"""Seconds between attempts to take a lock."""


@contextlib.contextmanager
def exclusive(target: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Lets one process (and one of its threads) at a time create `target`; the others wait.

    The operating system locks a hidden file beside `target` and releases it when the process ends;
    a file that is left over locks nothing.

    Args:
        target: The file to create. Its folder is created if necessary.
        waiting: Called once if another process holds the lock.

    Raises:
        OSError: The folder cannot be written, or its file system does not support locks.
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
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open_lock(path)
        try:
            if try_lock(handle) and _is_still(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if not announced:
            waiting()
            announced = True
        time.sleep(POLL)


def _is_still(handle: int, path: Path) -> bool:
    """Whether `path` is still the file that was locked, not a newer one."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False

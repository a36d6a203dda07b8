"""Locks between processes that go with their owner, even when that is killed."""

from __future__ import annotations

import errno
import sys


def try_lock(handle: int) -> bool:
    """Locks an open file for this process; returns False if another one has it locked.

    The lock is the operating system's: it ends when `handle` is closed, which the end of the
    process does, too. Another handle of the same process counts as another process.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True

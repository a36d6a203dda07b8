"""Locks between processes, released when the process that holds them ends or is killed."""

from __future__ import annotations

import errno
import sys


def try_lock(handle: int) -> bool:
    """Locks an open file for this process; returns False if another process holds the lock.

    The operating system releases the lock when `handle` is closed, at the latest when the process
    ends. Another handle of the same process counts as another process.

    Args:
        handle: a file descriptor.

    Raises:
        OSError: the file system does not support locks.
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

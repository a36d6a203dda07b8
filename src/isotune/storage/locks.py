"""Locks between processes, released when the process that holds them ends or is killed."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

from isotune.storage.untrusted import refuse_link, regular_handle


def open_lock(path: Path) -> int:
    """Opens a lock file, which is created if it is missing; its content does not change.

    Returns:
        A file descriptor for :func:`try_lock`.

    Raises:
        OSError: It cannot be written, or is a link or no regular file.
    """
    refuse_link(path)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return regular_handle(path, flags)


def write_owner(handle: int) -> None:
    """Writes this process's id into a lock file that it has locked.

    A file that has another name or other content is left as it is: it may be anything.
    """
    if os.fstat(handle).st_nlink == 1 and re.fullmatch(rb"[0-9]{0,20}\n?", os.read(handle, 64)):
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"{os.getpid()}\n".encode())


def read_owner(handle: int) -> int | None:
    """Returns the id of the process that wrote it into a lock file, or None."""
    try:
        found = re.fullmatch(rb"([0-9]{1,20})\n?", os.read(handle, 64))
    except OSError:  # Windows lets nobody read what another process has locked
        return None
    return int(found[1]) if found else None


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

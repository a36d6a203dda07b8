"""Opens files that a stranger may have made: regular ones only, no links, and not without bound."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

SMALL = 64 << 20
"""Number of bytes that a small file, of JSON or YAML, may have."""


def open_regular(path: Path, *, follow: bool = False) -> BinaryIO:
    """Opens a regular file for reading, without waiting for a pipe.

    Args:
        path: The file.
        follow: Whether `path` itself may be a link to a regular file.

    Raises:
        OSError: It is missing, may not be read, or is a link, a folder, a pipe or a device. The
            ``strerror`` says which.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        if path.is_symlink():  # in words, and where the system has no O_NOFOLLOW
            raise OSError(errno.ELOOP, "is a link, and links are not followed", str(path))
        flags |= getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_small(path: Path, limit: int = SMALL, *, follow: bool = False) -> bytes:
    """Reads a whole regular file.

    Args:
        path: The file.
        limit: Maximum number of bytes.
        follow: Whether `path` itself may be a link to a regular file.

    Raises:
        OSError: As :func:`open_regular`, or the file is larger than `limit`.
    """
    with open_regular(path, follow=follow) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"is larger than {limit} bytes", str(path))
    return data

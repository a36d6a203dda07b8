"""Opens files that a stranger may have made: regular ones only, no links, and not without bound."""

from __future__ import annotations

import errno
import os
import stat
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

SMALL = 64 << 20
"""Number of bytes that a small file, of JSON or YAML, may have."""


def refuse_link(path: Path) -> None:
    """Checks that `path`, which need not exist, is no link.

    Raises:
        OSError: It is a link.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "is a link, and links are not followed", str(path))


def open_regular(path: Path, *, follow: bool = False) -> BinaryIO:
    """Opens a regular file for reading, without waiting for a pipe.

    Args:
        path: The file.
        follow: Whether `path` itself may be a link to a regular file.

    Raises:
        OSError: It is missing, may not be read, or is a link, a folder, a pipe or a device. The
            ``strerror`` says which.
    """
    if not follow:
        refuse_link(path)  # in words, and where the system has no O_NOFOLLOW
    flags = os.O_RDONLY | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    return os.fdopen(regular_handle(path, flags), "rb")


def open_content(path: str, limit: int) -> BinaryIO:
    """Opens a regular file, or a link to one, and reads all of it at once if it is small.

    Opening, reading and closing are one system call each, where a buffered file makes a dozen.

    Args:
        path: The file.
        limit: Number of bytes above which the file is left open instead.

    Raises:
        OSError: As :func:`open_regular`.
    """
    handle = regular_handle(path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        content = os.read(handle, size + 1) if size <= limit else b""
    finally:
        os.close(handle)
    if content and len(content) == size:
        return BytesIO(content)
    return open_regular(Path(path), follow=True)  # it is large, or somebody writes to it


def append_regular(path: Path, data: bytes) -> None:
    """Appends to a regular file, which is created if it is missing.

    Raises:
        OSError: It cannot be written, or is a link or no regular file.
    """
    refuse_link(path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(regular_handle(path, flags), "ab") as file:
        file.write(data)


def regular_handle(path: Path | str, flags: int) -> int:
    """Opens a regular file as ``os.open`` does, without waiting for a pipe.

    Returns:
        Its file descriptor.

    Raises:
        OSError: It cannot be opened so, or is no regular file.
    """
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
    except BaseException:
        os.close(handle)
        raise
    return handle


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
        larger = os.fstat(file.fileno()).st_size > limit
        data = b"" if larger else file.read()
    if larger or len(data) > limit:
        raise too_large(path, limit)
    return data


def too_large(path: Path, limit: int) -> OSError:
    """Returns the error about a file of more than `limit` bytes."""
    return OSError(errno.EFBIG, f"is larger than {limit} bytes", str(path))

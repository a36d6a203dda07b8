"""Whether a file is still the one that something was computed from.

A stamp is what the file system says about a file: size, modification time, change time and inode.
Programs can set the modification time, and replace a file by one of the same size, but neither
without a new change time. A stamp is not enough where

- the change time is so recent that another change could leave it the same (Git calls such an entry
  of its index "racily clean"): two seconds is the coarsest unit of file systems in use;
- the file system has no inodes, so its other figures may be made up as well;
- the system is Windows, where Python's ``st_ctime`` is the time of creation.

There, a digest of the content decides.
"""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.storage.open_files import Version

Stamp = tuple[int, int, int, int]
"""Size in bytes, modification and change time in nanoseconds, and inode of a file."""

Stamps = NDArray[np.int64]
"""Stamps of N files: int64, shape (N, 4)."""

Digests = NDArray[np.uint8]
"""Digests of contents: uint8, shape (N, 16); zeros for a file that cannot be read."""

DIGEST = 16
"""Number of bytes of a digest, the first of SHA-256."""

SETTLED = 2_000_000_000
"""Age in nanoseconds from which a change time is unique."""

_CHUNK = 1 << 20
_INT64 = (1 << 63) - 1


def stamp(path: str) -> Stamp:
    """Returns a file's stamp, or zeros if it cannot be found."""
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path takes three times as long)
    except OSError:
        return 0, 0, 0, 0
    figures = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    size, modified, changed, inode = (figure & _INT64 for figure in figures)
    return size, modified, changed, inode


def version_in(stamp: Stamp) -> Version:
    """Returns the version that a file's stamp tells."""
    size, modified, _, inode = stamp
    return size, modified, inode


def settled(stamps: Stamps, now: int) -> NDArray[np.bool_]:
    """Whether equal stamps will mean that the files have not changed: bool, shape (N,).

    Args:
        stamps: Of files.
        now: When they were taken, in nanoseconds since 1970.
    """
    if os.name == "nt":
        return np.zeros(len(stamps), np.bool_)
    changed, inode = stamps[:, 2], stamps[:, 3]
    result: NDArray[np.bool_] = (inode != 0) & (changed < now - SETTLED)
    return result


def content_digest(data: bytes | memoryview) -> bytes:
    """Returns the digest of an image's content."""
    return hashlib.sha256(data).digest()[:DIGEST]


def file_digest(file: BinaryIO) -> bytes:
    """Returns the digest of an open file's content.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()[:DIGEST]

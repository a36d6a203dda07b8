"""A tar archive's uncompressed bytes, watched while they are read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from pathlib import Path
from typing import IO, Any

from isotune.data.archives.budget import Budget
from isotune.errors import DatasetError

CHUNK = 1 << 20
"""Bytes that are read at a time."""

_OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""What opens a compressed file, by its first bytes."""


class TarStream:
    """The bytes of a tar archive, whatever it is compressed with.

    `tarfile` takes it for a file. It reads headers in one piece, however long they say they
    are; contents it reads in pieces of :data:`CHUNK`. So a larger read is a header that lies.

    Attributes:
        compressed: whether the archive is.
    """

    def __init__(self, archive: Path, budget: Budget) -> None:
        with archive.open("rb") as file:
            head = file.read(6)
        opener = next((o for magic, o in _OPENERS.items() if head.startswith(magic)), None)
        self.compressed = opener is not None
        self._budget = budget
        self._file: IO[bytes] = opener(archive) if opener else archive.open("rb")

    def __enter__(self) -> TarStream:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """Returns the next `size` bytes, fewer at the end.

        Raises:
            DatasetError: a header says that it is very long, or the archive has become a bomb.
        """
        if not 0 <= size <= CHUNK:
            raise DatasetError(f"it has a header of {size} bytes")
        data = self._file.read(size)
        self._budget.reach(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position, by uncompressing what is before it."""
        if whence == os.SEEK_SET:
            self._budget.reach(offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Returns the position."""
        return self._file.tell()

    def finish(self, end: int) -> None:
        """Reads on to the last byte, since only then a checksum over all of them is checked.

        Args:
            end: the position at which `tarfile` saw no further entry.

        Raises:
            DatasetError: there is no mark of the archive's end, so that it is cut off.
        """
        self.seek(end)
        if self.read(512) != bytes(512):
            raise DatasetError("it is damaged or cut off: an entry is followed by no other or end")
        while self.read(CHUNK):
            pass

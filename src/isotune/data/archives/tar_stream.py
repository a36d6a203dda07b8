"""The uncompressed bytes of a tar archive, limited while they are read."""

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
"""Number of bytes read at a time."""

_OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""Functions that open a compressed file, by its first bytes."""


class TarStream:
    """A file object for `tarfile` with the uncompressed bytes of an archive.

    `tarfile` reads a header in one piece, however long it claims to be, and contents in pieces of
    :data:`CHUNK`. A larger read therefore means a malicious header.

    Attributes:
        compressed: whether the archive is compressed.
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
            DatasetError: a header claims to be very long, or the archive exceeds its budget.
        """
        if not 0 <= size <= CHUNK:
            raise DatasetError(f"it has a header of {size} bytes")
        data = self._file.read(size)
        self._budget.check(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position, by uncompressing the bytes before it."""
        if whence == os.SEEK_SET:
            self._budget.check(offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Returns the position."""
        return self._file.tell()

    def finish(self, end: int) -> None:
        """Reads to the last byte, where decompressors compare their checksum.

        Args:
            end: position at which `tarfile` found no further entry.

        Raises:
            DatasetError: the end marker is missing, so the archive is cut off.
        """
        self.seek(end)
        if self.read(512) != bytes(512):
            raise DatasetError("it is damaged or cut off: an entry is followed by no other or end")
        while self.read(CHUNK):
            pass

"""Limits on the unpacked size of an archive, against decompression bombs."""

from __future__ import annotations

from pathlib import Path

from isotune.errors import DatasetError

RATIO = 200
"""Largest ratio of an archive's unpacked size to its own. Compressed images hardly shrink again,
bitmaps of drawings about twenty times; DEFLATE itself reaches 1,032."""

MIN_LIMIT = 256 << 20
"""Number of bytes that any archive may unpack to, however small it is."""

MAX_ENTRIES = 20_000_000
"""Largest number of entries; all of ImageNet has fourteen million images."""

BLOCK = 4096
"""Number of bytes counted for an entry beside its content: the smallest file on a disk."""


class Budget:
    """Counts the unpacked size of one archive.

    Attributes:
        limit: number of bytes that the archive may unpack to.
    """

    def __init__(self, archive: Path) -> None:
        self.limit = max(MIN_LIMIT, RATIO * archive.stat().st_size)
        self._bytes = 0
        self._entries = 0

    def spend(self, size: int) -> None:
        """Counts an entry of `size` bytes.

        Raises:
            DatasetError: a limit is exceeded.
        """
        self._entries += 1
        self._bytes += size + BLOCK
        if self._entries > MAX_ENTRIES:
            raise DatasetError(
                f"it has more than {MAX_ENTRIES:,} entries, as no image dataset does"
            )
        self.check(self._bytes)

    def check(self, size: int) -> None:
        """Refuses an archive that unpacks to at least `size` bytes if that is too much.

        Raises:
            DatasetError: the limit is exceeded.
        """
        if size > self.limit:
            raise DatasetError(
                f"it unpacks to more than {self.limit:,} bytes, {RATIO} times its own size or 256"
                " MiB at least, as no image dataset does: it looks like a decompression bomb"
            )

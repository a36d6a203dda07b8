"""How much an archive may unpack to, before it is taken for a decompression bomb."""

from __future__ import annotations

from pathlib import Path

from isotune.errors import DatasetError

RATIO = 200
"""Times its own size that an archive may unpack to. Compressed images hardly shrink again, and
bitmaps of drawings some twenty times; DEFLATE itself reaches 1,032."""

FREE = 256 << 20
"""Bytes that any archive may unpack to, be it as small as it likes."""

ENTRIES = 20_000_000
"""Entries that an archive may have: all of ImageNet are fourteen million images."""

BLOCK = 4096
"""Bytes that an entry counts for beside its content: what the smallest file takes on a disk."""


class Budget:
    """What is left of it for one archive.

    Attributes:
        limit: bytes that the archive may unpack to.
    """

    def __init__(self, archive: Path) -> None:
        self.limit = max(FREE, RATIO * archive.stat().st_size)
        self._bytes = 0
        self._entries = 0

    def spend(self, size: int) -> None:
        """Counts an entry of `size` bytes.

        Raises:
            DatasetError: that was too much.
        """
        self._entries += 1
        self._bytes += size + BLOCK
        if self._entries > ENTRIES:
            raise DatasetError(f"it has more than {ENTRIES:,} entries, as no image dataset does")
        self.reach(self._bytes)

    def reach(self, size: int) -> None:
        """Refuses an archive that is found to unpack to `size` bytes and perhaps more.

        Raises:
            DatasetError: that is too much.
        """
        if size > self.limit:
            raise DatasetError(
                f"it unpacks to more than {self.limit:,} bytes, {RATIO} times its own size or 256"
                " MiB at least, as no image dataset does: it looks like a decompression bomb"
            )

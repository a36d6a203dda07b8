"""The files in an archive: which there are, and where their contents are."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isotune.data.archives.entry_names import plain_name
from isotune.data.caches.stamps import Stamp
from isotune.data.names import Names


class Packing(IntEnum):
    """How an entry's content is kept."""

    FOLDER = 0
    PLAIN = 1
    ZIP_STORED = 2
    ZIP_DEFLATED = 3


class Place(NamedTuple):
    """Where an entry's content is.

    Attributes:
        packing: How it is kept.
        offset: Position of its first byte in the archive; in a zip archive that of the local
            header before it.
        size: Its number of bytes.
        packed: Number of bytes that it takes in the archive.
        checksum: Its CRC-32 in a zip archive, otherwise 0.
    """

    packing: int
    offset: int = 0
    size: int = 0
    packed: int = 0
    checksum: int = 0


Places = NDArray[np.int64]
"""N places: int64, shape (N, 5)."""


@dataclass(frozen=True)
class Members:
    """The folders and plain files of an archive, in its order.

    Attributes:
        names: Their names, with slashes; those of folders end in one.
        places: Where their contents are.
        left_out: Number of other entries, by what they are.
        stamp: The archive's stamp when they were listed.
    """

    names: Names
    places: Places
    left_out: Mapping[str, int]
    stamp: Stamp = (0, 0, 0, 0)


@dataclass
class Listing:
    """Collects the entries of an archive.

    Attributes:
        left_out: Number of entries that were not added, by what they are.
    """

    left_out: Counter[str] = field(default_factory=Counter)
    _text: bytearray = field(default_factory=bytearray)
    _ends: array[int] = field(default_factory=lambda: array("q"))
    _places: array[int] = field(default_factory=lambda: array("q"))

    def add(self, name: str, place: Place) -> None:
        """Adds an entry.

        Raises:
            DatasetError: Its name leads out of the archive, or has too many parts.
        """
        self._text += plain_name(name).encode("utf-8", "surrogateescape")
        self._ends.append(len(self._text))
        self._places.extend(place)

    def members(self) -> Members:
        """Returns the entries."""
        places = np.array(self._places, np.int64).reshape(-1, len(Place._fields))
        text = np.frombuffer(bytes(self._text), np.uint8)
        return Members(Names(text, np.array(self._ends, np.int64)), places, self.left_out)

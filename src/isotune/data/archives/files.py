"""Image files in archives, read where they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.data.archives.members import Place, Places
from isotune.data.archives.read import read_member
from isotune.data.caches.files import CheckedFiles
from isotune.data.caches.stamps import Stamp, stamp


@dataclass(frozen=True)
class Archives:
    """Archives that were listed.

    Attributes:
        paths: Where they are.
        stamps: Their stamps when they were listed.
    """

    paths: Sequence[Path]
    stamps: Sequence[Stamp]


class MemberFiles(CheckedFiles):
    """The image files of a split in archives.

    Args:
        place: What the split is, among others in the same archives.
        archives: The archives.
        numbers: In which of them each file is: int32, shape (N,).
        places: Where in it: int64, shape (N, 5).
        root: Where the files are, for messages: a path before their names.
        names: Their names, each of one file only.
    """

    def __init__(
        self,
        place: bytes,
        archives: Archives,
        numbers: NDArray[np.int32],
        places: Places,
        root: str,
        names: Sequence[str],
    ) -> None:
        super().__init__(place, names)
        self._archives, self._numbers, self._places = archives, numbers, places
        self._root, self._inside = root, names

    def open(self, index: int) -> BinaryIO:
        """Reads file `index`."""
        number = self._numbers[index]
        size, modified, _, inode = self._archives.stamps[number]
        place = Place(*self._places[index].tolist())
        return io.BytesIO(read_member(self._archives.paths[number], (size, modified, inode), place))

    def identify(self, index: int) -> str:
        """Returns the path of file `index`, as if its archive were a folder."""
        return f"{self._root}/{self._inside[index]}"

    def stamp(self, index: int) -> Stamp:
        """Returns the size of file `index` and the other figures of its archive's stamp."""
        _, modified, changed, inode = stamp(str(self._archives.paths[self._numbers[index]]))
        return int(self._places[index, Place._fields.index("size")]), modified, changed, inode

"""Image files in archives, read where they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.data.archives.members import Place, Places
from isotune.data.archives.read import read_member
from isotune.data.caches.inside import Containers, FilesInside


class MemberFiles(FilesInside):
    """Image files in archives.

    Args:
        place: What they are, among others in the same archives.
        archives: The archives.
        numbers: In which of them each file is: int32, shape (N,).
        places: Where in it: int64, shape (N, 5).
        root: Where the files are, for messages: a path before their names.
        names: Their names, each of one file only.
    """

    def __init__(
        self,
        place: bytes,
        archives: Containers,
        numbers: NDArray[np.int32],
        places: Places,
        root: str,
        names: Sequence[str],
    ) -> None:
        sizes = places[:, Place._fields.index("size")]
        super().__init__(place, archives, numbers, root, names, sizes)
        self._places = places

    def open(self, index: int) -> BinaryIO:
        """Reads file `index`."""
        number = int(self.numbers[index])
        version, place = self.containers.version(number), Place(*self._places[index].tolist())
        return io.BytesIO(read_member(self.containers.paths[number], version, place))

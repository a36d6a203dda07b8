"""Image files inside other files, such as archives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.files import CheckedFiles
from isotune.data.caches.stamps import Stamp, Stamps, stamp, version_in
from isotune.storage.open_files import Version


@dataclass(frozen=True)
class Containers:
    """Files that hold image files.

    Attributes:
        paths: Where they are.
        stamps: Their stamps when it was listed what they hold.
    """

    paths: Sequence[Path]
    stamps: Sequence[Stamp]

    def version(self, number: int) -> Version:
        """Returns the version of a file that was listed."""
        return version_in(self.stamps[number])


class FilesInside(CheckedFiles):
    """Image files inside other files.

    A file's stamp is its size, or its container's if that is not known, with the other figures of
    its container's stamp: while a container does not change, nothing in it does.

    Args:
        place: What they are, among others in the same containers.
        containers: The files that they are in.
        numbers: In which of these each is: int32, shape (N,).
        root: Where they are, for messages: a path before their names.
        names: Their names, each of one file only.
        sizes: Their sizes, if they are known: int64, shape (N,).
    """

    def __init__(
        self,
        place: bytes,
        containers: Containers,
        numbers: NDArray[np.int32],
        root: str,
        names: Sequence[str],
        sizes: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__(place, names)
        self.containers, self.numbers = containers, numbers
        self._root, self._inside, self._sizes = root, names, sizes

    def identify(self, index: int) -> str:
        """Returns the path of file `index`, as if its container were a folder."""
        return f"{self._root}/{self._inside[index]}"

    def stamp(self, index: int) -> Stamp:
        """Returns the stamp of file `index`."""
        (found,) = self.stamps(np.array([index]), None).tolist()
        return tuple(found)

    def stamps(self, indices: NDArray[np.int64], workers: int | None) -> Stamps:
        """Returns the stamps of files; asks for that of each container once."""
        numbers, places = np.unique(self.numbers[indices], return_inverse=True)
        paths = [self.containers.paths[number] for number in numbers.tolist()]
        found = np.array([stamp(str(path)) for path in paths], np.int64).reshape(-1, 4)[places]
        if self._sizes is not None:
            found[:, 0] = np.where(found.any(axis=1), self._sizes[indices], 0)
        return found

"""Images in the rows of Parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.inside import Containers, FilesInside
from isotune.data.parquet.groups import read_value


class RowNames(Sequence[str]):
    """Names of rows: the file's name, and the row's number in it, from 0.

    Args:
        files: Names of the files.
        ends: Number of rows up to the end of each file: int64, shape (files,).
    """

    def __init__(self, files: Sequence[str], ends: NDArray[np.int64]) -> None:
        self._files, self._ends = files, ends

    def __len__(self) -> int:
        return int(self._ends[-1])

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        file = int(np.searchsorted(self._ends, index, side="right"))
        return f"{self._files[file]}[{index - _start(self._ends, file)}]"

    def __iter__(self) -> Iterator[str]:
        counts = np.diff(self._ends, prepend=0).tolist()
        for file, count in zip(self._files, counts, strict=True):
            yield from (f"{file}[{row}]" for row in range(count))


@dataclass(frozen=True)
class Rows:
    """Where rows are.

    Attributes:
        leaf: Path of the column with the images' bytes.
        ends: Number of rows up to the end of each file: int64, shape (files,).
        group_ends: Number of rows of each file up to the end of each of its row groups.
    """

    leaf: str
    ends: NDArray[np.int64]
    group_ends: Sequence[NDArray[np.int64]]


class RowFiles(FilesInside):
    """Images in the rows of Parquet files.

    Args:
        place: What they are, among others in the same files.
        containers: The Parquet files.
        rows: Where the rows are in them.
        root: Where the files are, for messages.
        names: Names of the rows.
    """

    def __init__(
        self,
        place: bytes,
        containers: Containers,
        rows: Rows,
        root: str,
        names: Sequence[str],
    ) -> None:
        counts = np.diff(rows.ends, prepend=0)
        numbers = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        super().__init__(place, containers, numbers, root, names)
        self._rows = rows

    def open(self, index: int) -> BinaryIO:
        """Reads the image of row `index`."""
        file = int(self.numbers[index])
        ends, row = self._rows.group_ends[file], index - _start(self._rows.ends, file)
        group = int(np.searchsorted(ends, row, side="right"))
        path, version = self.containers.paths[file], self.containers.version(file)
        row -= _start(ends, group)
        return io.BytesIO(read_value(path, version, group, self._rows.leaf, row))


def _start(ends: NDArray[np.int64], number: int) -> int:
    return int(ends[number - 1]) if number else 0

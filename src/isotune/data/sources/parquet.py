"""Format ``parquet``: Parquet files with encoded images, as Hugging Face's datasets have them."""

from __future__ import annotations

import logging
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.inside import Containers
from isotune.data.caches.stamps import stamp
from isotune.data.declared import Declared, check_declared, read_labels
from isotune.data.parquet.columns import ImageColumns, image_columns
from isotune.data.parquet.file import ParquetFile
from isotune.data.parquet.groups import checked_group_size
from isotune.data.parquet.rows import RowFiles, RowNames, Rows
from isotune.data.shards import find_shards, may_have_shards
from isotune.data.sources.encoded import EncodedSource
from isotune.data.tables.labels import GroupNames, row_labels
from isotune.errors import DatasetError
from isotune.interfaces.dataset import DatasetFormat, ImageSource
from isotune.spec.columns import ColumnsSpec

log = logging.getLogger(__name__)

ENDING = ".parquet"

LARGE_GROUP = 32 << 20
"""Number of bytes of a row group from which reading it takes longer than decoding an image."""


class ParquetDataset(ColumnsSpec, DatasetFormat):
    """Parquet files with the bytes of images, as Hugging Face's datasets have them.

    A row is an image. Columns that are not named are found by the schema: images are a struct of
    ``bytes`` and ``path``, or bytes; labels a ``ClassLabel``.

    Attributes:
        path: The folder of the files, or a single file; as for other formats absolute, relative to
            the spec's file or the working directory, or under ``$ISOTUNE_HOME/datasets``.
        splits: Names of the splits, as in ``train-00000-of-00004.parquet`` or of folders of files;
            or patterns, such as ``train-*.parquet``.
    """

    may_be_file: ClassVar[bool] = True

    format: Literal["parquet"] = "parquet"

    @classmethod
    def recognizes(cls, place: Path) -> bool:
        """Whether it is a shard, or a folder in which shards are looked for."""
        return may_have_shards(place, ".parquet")

    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens a split."""
        return ParquetSource(self, folder, split, classes)

    def open_all(self, folder: Path, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens the files of a dataset without splits."""
        return ParquetSource(self, folder, None, classes)


class ParquetSource(EncodedSource):
    """The images of a split in Parquet files, in the order of the files and of their rows.

    Args:
        spec: Which columns hold what.
        root: The folder of the files, or a single file.
        split: The split's name; None opens the files of a dataset without splits.
        classes: The classes that there may be, in label order; None takes those that the files
            list, or those that occur.

    Raises:
        DatasetError: A file is missing or damaged, or labels are wrong.
    """

    def __init__(
        self,
        spec: ParquetDataset,
        root: Path,
        split: str | None,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        self.max_pixels = spec.max_pixels
        paths = find_shards(root, split, ENDING)
        folder = root.parent if paths == [root] else root
        stamps = [stamp(str(path)) for path in paths]
        table = _Table(paths, spec)
        self.names = RowNames([path.relative_to(folder).as_posix() for path in paths], table.ends)
        names, separator = table.columns.names, spec.separator if spec.multi_label else None
        known = names if classes is None else classes
        self.classes, self.labels = read_labels(
            table.labels(),
            row_labels(table.columns.found.labels, spec, known),
            None if names is None else Declared(check_declared(names, str(paths[0])), separator),
            known,
            paths[0] if len(paths) == 1 else f"{root}, {split or 'all files'}",
            self.name,
        )
        if len(self.labels) != len(self.names):
            raise DatasetError(
                f"{root}: is damaged: its footers say {len(self.names):,} rows, but"
                f" {len(self.labels):,} have labels."
            )
        self.groups, self.group_names = table.groups()
        table.report_large_groups(root)
        self.files = RowFiles(
            os.fsencode(root.resolve()) + b"\0" + f"{split}\0{table.columns.leaf}".encode(),
            Containers(paths, stamps),
            Rows(table.columns.leaf, table.ends, table.group_ends),
            str(folder),
            self.names,
        )

    def name(self, index: int) -> str:
        """Returns the file of image `index` and its row in it, from 0."""
        return self.names[index]


class _Table:
    """The rows of several Parquet files, without their images.

    Attributes:
        columns: Which columns hold what; in all files the same.
        ends: Number of rows up to the end of each file: int64, shape (files,).
        group_ends: Number of rows of each file up to the end of each of its row groups.
    """

    def __init__(self, paths: Sequence[Path], spec: ParquetDataset) -> None:
        self._paths = paths
        self.group_ends: list[NDArray[np.int64]] = []
        self._largest = 0
        columns = None
        for path in paths:
            with ParquetFile(path) as file:
                these = image_columns(path, file, spec)
                columns = columns or these
                _check_same(path, paths[0], these, columns)
                ends, largest = _row_groups(file)
                self.group_ends.append(ends)
                self._largest = max(self._largest, largest)
        assert columns is not None, "there is a file at least"
        self.columns = columns
        self.ends = np.cumsum([ends[-1] if len(ends) else 0 for ends in self.group_ends])

    def report_large_groups(self, where: object) -> None:
        """Logs in one line that reading single images takes long, if it does."""
        if self._largest > LARGE_GROUP:
            log.warning(
                "%s: has row groups of up to %d MiB, each of which is read as a whole for a single"
                " image; images are read faster if the files are written again with"
                " row_group_size=100",
                where,
                self._largest >> 20,
            )

    def labels(self) -> Iterator[Sequence[Any]]:
        """Yields the labels of each row."""
        return self._cells(self.columns.found.labels)

    def groups(self) -> tuple[NDArray[np.int32] | None, tuple[str, ...] | None]:
        """Returns the number of each row's group and the groups' names, or None for none.

        Raises:
            DatasetError: A row has no group.
        """
        name = self.columns.found.group
        if name is None:
            return None, None
        numbers, groups = array("i"), GroupNames()
        for row, (value,) in enumerate(self._cells((name,))):
            text = "" if value is None else str(value).strip()
            if not text:
                place = RowNames([str(path) for path in self._paths], self.ends)[row]
                raise DatasetError(f"{place}: its group, in column '{name}', is empty.")
            numbers.append(groups.code(text))
        return np.array(numbers, np.int32), groups.names

    def _cells(self, names: Sequence[str]) -> Iterator[Sequence[Any]]:
        for path in self._paths:
            with ParquetFile(path) as file:
                yield from file.rows(names)


def _check_same(path: Path, first: Path, these: ImageColumns, columns: ImageColumns) -> None:
    same = (these.found.names, these.leaf, these.names)
    if same != (columns.found.names, columns.leaf, columns.names):
        raise DatasetError(
            f"{path}: its columns of images and labels, or their classes, are others than those of"
            f" {first.name}."
        )


def _row_groups(file: ParquetFile) -> tuple[NDArray[np.int64], int]:
    """Returns the number of rows up to the end of each row group, and the size of the largest.

    Raises:
        DatasetError: A row group's images are too large to be read together.
    """
    metadata = file.parquet.metadata
    counts, largest = [], 0
    for number in range(metadata.num_row_groups):
        counts.append(metadata.row_group(number).num_rows)
        largest = max(largest, checked_group_size(file, number))
    return np.cumsum(counts, dtype=np.int64), largest

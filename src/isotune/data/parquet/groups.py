"""Reads single values of Parquet files, whose smallest part that can be read is a row group.

Hugging Face writes row groups of 100 images, so that reading one of them reads 99 others. A few
groups are kept, for threads that read one after another.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from isotune.data.parquet.file import ParquetFile, reason
from isotune.errors import DatasetError
from isotune.storage.open_files import OpenFiles, Version, check_version

MAX_GROUP = 1 << 30
"""Number of bytes that the images of a row group may have, since they are read together."""

KEPT = 256 << 20
"""Number of bytes of images that are kept."""

OPEN = 8
"""Number of files that stay open; each has all that its footer says in memory."""

BATCH = 64
"""Number of values that are decoded together."""

Key = tuple[Path, Version, int, str]
"""A file, its version, the number of a row group, and the path of a column."""

Values = list["bytes | None"]


class GroupCache:
    """Keeps the values of row groups that were read last. Thread-safe.

    A group that several threads need at the same time is read once.

    Args:
        kept: Number of bytes that are kept.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._size = kept, 0
        self._groups: OrderedDict[Key, tuple[int, Future[Values]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, read: Callable[[Key], Values]) -> Values:
        """Returns a group's values, from `read` if they are not kept.

        Raises:
            Exception: What `read` raises.
        """
        with self._lock:
            found = self._groups.get(key)
            if found is None:
                future: Future[Values] = Future()
                self._groups[key] = 0, future
            else:
                self._groups.move_to_end(key)
        if found is not None:
            return found[1].result()
        try:
            values = read(key)
        except BaseException as error:
            with self._lock:
                del self._groups[key]
            future.set_exception(error)
            raise
        self._keep(key, sum(len(value or b"") for value in values), future)
        future.set_result(values)
        return values

    def _keep(self, key: Key, size: int, future: Future[Values]) -> None:
        with self._lock:
            self._groups[key] = size, future
            self._groups.move_to_end(key)
            self._size += size
            for old in list(self._groups):
                if self._size <= self._kept:
                    break
                bytes_of_old, values = self._groups[old]
                if values.done() or old == key:  # others are being read
                    del self._groups[old]
                    self._size -= bytes_of_old


_FILES: OpenFiles[ParquetFile] = OpenFiles(ParquetFile, OPEN)
_GROUPS = GroupCache()
"""Those of all datasets."""


def read_value(path: Path, version: Version, group: int, column: str, row: int) -> bytes:
    """Returns a value of a column of bytes.

    Args:
        path: The Parquet file.
        version: Its version when its rows were counted.
        group: The number of the row group.
        column: The column's path, such as ``image.bytes``.
        row: The number of the row in the row group.

    Raises:
        OSError: It is null, cannot be read, or the file has changed.
    """
    values = _GROUPS.get((path, version, group, column), _read_group)
    if row >= len(values):
        raise OSError(errno.EIO, "is missing in its row group", str(path))
    value = values[row]
    if value is None:
        raise OSError(errno.ENODATA, "is null: it has no bytes of an image", str(path))
    return value


def _read_group(key: Key) -> Values:
    path, version, number, column = key
    try:
        with _FILES.lent(path) as file:
            assert file.raw is not None, "it is open"
            check_version(file.raw, path, version)
            return _values(file, number, column)
    except DatasetError as error:
        raise OSError(errno.EIO, str(error), str(path)) from error
    except Exception as error:  # pyarrow's errors derive from several types
        if isinstance(error, OSError) and error.errno is not None:
            raise
        why = f"cannot be read as Parquet: {reason(error)}"
        raise OSError(errno.EIO, why, str(path)) from error


def _values(file: ParquetFile, number: int, column: str) -> Values:
    """Returns the values of a row group.

    Values of a dictionary are read in batches that cannot take much more than :data:`MAX_GROUP`,
    since a small dictionary may have a large value that all rows repeat.
    """
    batch = max(min(BATCH, MAX_GROUP // max(group_size(file, number), 1)), 1)
    values: Values = []
    total = 0
    for part in file.parquet.iter_batches(
        batch, row_groups=[number], columns=[column], use_threads=False
    ):
        array = part.column(0)
        for name in column.split(".")[1:]:
            array = array.field(name)
        found = array.to_pylist()
        total += sum(len(value or b"") for value in found)
        if total > MAX_GROUP:
            raise OSError(errno.EFBIG, f"has a row group of more than {MAX_GROUP:,} bytes")
        values.extend(found)
    return values


def checked_group_size(file: ParquetFile, number: int) -> int:
    """Returns :func:`group_size` after checking it.

    Raises:
        DatasetError: The row group is too large to be read as a whole.
    """
    size = group_size(file, number)
    if size > MAX_GROUP:
        raise DatasetError(
            f"{file.path}: its row group {number} has {size:,} bytes, which are read together;"
            f" at most {MAX_GROUP:,} are possible, so write it again with fewer rows"
            " a group (row_group_size=100)."
        )
    return size


def group_size(file: ParquetFile, number: int) -> int:
    """Returns the uncompressed size of a row group, as the footer says.

    That of a single column would do, but pyarrow 26 ends the process where a damaged footer
    describes a column wrongly.
    """
    return int(file.parquet.metadata.row_group(number).total_byte_size)

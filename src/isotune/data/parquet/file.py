"""Opens Parquet files. pyarrow is imported when one is opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from isotune.errors import DatasetError
from isotune.storage.untrusted import open_regular

BATCH = 1 << 14
"""Number of rows that are in memory as Python objects."""


def library(path: Path) -> ModuleType:
    """Returns the module ``pyarrow.parquet``.

    Args:
        path: The file that is opened, for the error.

    Raises:
        DatasetError: It cannot be imported; the message says what to install.
    """
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise DatasetError(
            f"{path}: Parquet needs pyarrow, which is not installed;"
            ' `pip install "isotune[parquet]"` installs it.'
        ) from error
    except ImportError as error:  # it may refuse an older NumPy, say
        raise DatasetError(
            f"{path}: Parquet needs pyarrow, which cannot be imported: {reason(error)}."
        ) from error
    module: ModuleType = pyarrow.parquet
    return module


class ParquetFile:
    """An open Parquet file.

    Args:
        path: The file, or a link to it.

    Attributes:
        path: Where it is.
        raw: The file itself.
        parquet: A ``pyarrow.parquet.ParquetFile``.

    Raises:
        DatasetError: It cannot be read, or is no Parquet file.
    """

    def __init__(self, path: Path) -> None:
        module = library(path)
        self.path = path
        self.raw: BinaryIO | None = None
        try:
            self.raw = open_regular(path, follow=True)
            self.parquet: Any = module.ParquetFile(
                self.raw, pre_buffer=False, page_checksum_verification=True
            )
        except Exception as error:  # pyarrow's errors derive from several types
            if self.raw is not None:
                self.raw.close()
            raise unreadable(path, error) from error

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yields the cells of each row in these columns, as Python objects.

        Raises:
            DatasetError: They cannot be read.
        """
        names = list(columns)
        try:
            for batch in self.parquet.iter_batches(BATCH, columns=names, use_threads=False):
                yield from zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        except Exception as error:  # pyarrow's errors derive from several types
            raise unreadable(self.path, error) from error

    def close(self) -> None:
        """Closes the file."""
        self.parquet.close()
        if self.raw is not None:
            self.raw.close()

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def unreadable(path: Path, error: Exception) -> DatasetError:
    """Returns the error that says that a file is no readable Parquet file."""
    return DatasetError(f"{path}: cannot be read as Parquet: {reason(error)}.")


def reason(error: Exception) -> str:
    """Returns an error's message in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")

"""Tables in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from isotune.data.tables.table import Faults, Row, Table, as_cell
from isotune.errors import DatasetError
from isotune.storage.untrusted import open_regular

BATCH = 1 << 14
"""Number of rows that are in memory as Python objects."""

MAX_CHUNK = 1 << 30
"""Number of bytes that a column of a row group may unpack to."""


class ParquetTable(Table):
    """A Parquet file whose images are paths. Its rows are counted from 1."""

    unit: ClassVar[str] = "row"

    def columns(self) -> list[str]:
        """Returns the names of the columns."""
        with self._open() as file:
            return list(file.schema_arrow.names)

    def rows(self, columns: Sequence[str], faults: Faults) -> Iterator[Row]:
        """Yields the rows."""
        number = 0
        with self._open() as file:
            self._check_types(file.schema_arrow, columns)
            self._check_sizes(file.metadata, columns)
            for batch in file.iter_batches(BATCH, columns=list(columns), use_threads=False):
                cells = [batch.column(name).to_pylist() for name in columns]
                for row in zip(*cells, strict=True):
                    number += 1
                    yield number, tuple([as_cell(value) for value in row])

    def _check_types(self, schema: Any, columns: Sequence[str]) -> None:
        from pyarrow import types

        def is_plain(kind: Any) -> bool:
            return not (
                types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind)
            )

        for name in columns:
            kind = schema.field(name).type
            is_list = types.is_list(kind) or types.is_large_list(kind)
            if not is_plain(kind.value_type if is_list else kind):
                raise DatasetError(
                    f"{self.path}: its column '{name}' should be text, numbers or lists of these,"
                    f" not {kind}; another format reads images that are inside the file."
                )

    def _check_sizes(self, metadata: Any, columns: Sequence[str]) -> None:
        for group in range(metadata.num_row_groups):
            for place in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(place)
                name, size = chunk.path_in_schema.split(".")[0], chunk.total_uncompressed_size
                if name in columns and size > MAX_CHUNK:
                    raise DatasetError(
                        f"{self.path}: column '{name}' of row group {group} has {size} bytes; at"
                        f" most {MAX_CHUNK} are read. Write smaller row groups."
                    )

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise DatasetError(
                f"{self.path}: Parquet needs pyarrow, which cannot be imported: {error};"
                ' `pip install "isotune[parquet]"` installs it.'
            ) from error
        try:
            with (
                open_regular(self.path, follow=True) as opened,
                pyarrow.parquet.ParquetFile(opened, pre_buffer=False) as file,
            ):
                yield file
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise DatasetError(f"{self.path}: cannot be read as Parquet: {why}.") from error

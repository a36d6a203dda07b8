"""Tables in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from isotune.data.parquet.file import ParquetFile
from isotune.data.tables.table import Faults, Row, Table, as_cell
from isotune.errors import DatasetError

MAX_CHUNK = 1 << 30
"""Number of bytes that a column of a row group may unpack to."""


class ParquetTable(Table):
    """A Parquet file whose images are paths. Its rows are counted from 1."""

    unit: ClassVar[str] = "row"

    def columns(self) -> list[str]:
        """Returns the names of the columns."""
        with ParquetFile(self.path) as file:
            return list(file.parquet.schema_arrow.names)

    def rows(self, columns: Sequence[str], faults: Faults) -> Iterator[Row]:
        """Yields the rows."""
        with ParquetFile(self.path) as file:
            self._check_types(file.parquet.schema_arrow, columns)
            self._check_sizes(file.parquet.metadata, columns)
            for number, row in enumerate(file.rows(columns), start=1):
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

"""Tables in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from isotune.data.parquet.file import ParquetFile
from isotune.data.parquet.groups import checked_group_size
from isotune.data.tables.table import Faults, Row, Table, as_cell
from isotune.errors import DatasetError


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
            for group in range(file.parquet.num_row_groups):
                checked_group_size(file, group)
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

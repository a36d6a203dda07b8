"""Tables of text: CSV, TSV and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar

from isotune.data.tables.table import Faults, Row, Table, as_cell
from isotune.errors import DatasetError
from isotune.storage.untrusted import open_regular

MAX_LINE = 1 << 20
"""Number of bytes of a line."""

LOOK_AHEAD = 100
"""Number of first rows of JSON lines whose keys are the columns."""

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def text_lines(table: Table) -> Iterator[str]:
    """Yields the lines of a table, with their ends, and without a byte-order mark.

    Raises:
        DatasetError: The file cannot be read, is not UTF-8, or a line is longer than
            :data:`MAX_LINE`.
    """
    number = 0
    try:
        with open_regular(table.path, follow=True) as file:
            while data := file.readline(MAX_LINE + 1):
                number += 1
                if len(data) > MAX_LINE:
                    raise table.refuse(number, f"is longer than {MAX_LINE} bytes")
                if number == 1:
                    if data.startswith(_UTF16):
                        raise table.refuse(1, "is UTF-16 text; save the table as UTF-8")
                    data = data.removeprefix(_BOM)
                yield data.decode()
    except UnicodeDecodeError as error:
        raise table.refuse(
            number, f"is not UTF-8 text, by its byte {error.start}; save the table as UTF-8"
        ) from error
    except OSError as error:
        raise DatasetError(f"{table.path}: cannot be read: {error.strerror}.") from error


class CsvTable(Table):
    """Comma-separated values, with a header, quoted as in RFC 4180.

    Where the header has no comma, but semicolons or tabs, these separate the values: spreadsheets
    write semicolons where the comma is the decimal mark.
    """

    delimiters: ClassVar[Sequence[str]] = (",", ";", "\t")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._delimiter = self.delimiters[0]

    def columns(self) -> list[str]:
        """Returns the names in the header."""
        for delimiter in self.delimiters:
            self._delimiter = delimiter
            _, header = next(self._read(), (0, [""]))
            if len(header) > 1:
                return [name.strip() for name in header]
        raise DatasetError(
            f"{self.path}: its first line should name two columns at least, for images and labels."
        )

    def rows(self, columns: Sequence[str], faults: Faults) -> Iterator[Row]:
        """Yields the rows."""
        header = self.columns()
        width = len(header)
        pick = itemgetter(*(header.index(name) for name in columns))
        for line, row in islice(self._read(), 1, None):
            if len(row) == width:
                yield line, pick(row)
            else:
                fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
                faults.add(line, f"has {fields}, but the header has {width}")

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        """Yields the header and all rows that are not blank, with the numbers of their lines."""
        reader = csv.reader(text_lines(self), delimiter=self._delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise self.refuse(line, f"is not a row of CSV: {error}") from error


class TsvTable(CsvTable):
    """Values separated by tabs, otherwise as in CSV."""

    delimiters: ClassVar[Sequence[str]] = ("\t",)


class JsonLinesTable(Table):
    """An object of JSON a line (https://jsonlines.org)."""

    def columns(self) -> list[str]:
        """Returns the keys of the first :data:`LOOK_AHEAD` rows."""
        keys: dict[str, None] = {}
        for _, row in islice(self._read(Faults(self)), LOOK_AHEAD):
            keys.update(dict.fromkeys(row))
        if not keys:
            raise DatasetError(
                f'{self.path}: should have an object a line, such as {{"image": "1.jpg",'
                ' "label": "ant"}, but its first lines have none.'
            )
        return list(keys)

    def rows(self, columns: Sequence[str], faults: Faults) -> Iterator[Row]:
        """Yields the rows; a key that one lacks is an empty cell."""
        for line, row in self._read(faults):
            try:
                yield line, tuple([as_cell(row.get(name)) for name in columns])
            except TypeError:
                nested = [name for name in columns if isinstance(row.get(name), (dict, list))]
                faults.add(line, f"'{nested[0]}' should be text or a list of texts")

    def _read(self, faults: Faults) -> Iterator[tuple[int, dict[str, Any]]]:
        for line, text in enumerate(text_lines(self), 1):
            if text.isspace():
                continue
            try:
                row = json.loads(text)
                if "\\u" in text:  # only an escape can be half a surrogate pair
                    json.dumps(row, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                faults.add(line, "has half a surrogate pair, which is no character")
            except (ValueError, RecursionError) as error:
                why = getattr(error, "msg", "a number is too long, or it is nested too deeply")
                faults.add(line, f"is not JSON: {why}")
            else:
                if isinstance(row, dict):
                    yield line, row
                else:
                    faults.add(line, "should be an object of JSON, in braces")

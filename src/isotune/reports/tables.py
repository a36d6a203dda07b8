"""A small table, shown as plain text, as Markdown, in a notebook or on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from isotune.printable import html_table, printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass
class Table:
    """A heading and rows of text.

    Attributes:
        columns: Headings of the columns.
        align: ``left`` or ``right`` for each column; by default only the first is left.
        rows: Cells as text; a row has one for each column.
    """

    columns: Sequence[str]
    align: Sequence[str] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.align:
            self.align = ["left", *["right"] * (len(self.columns) - 1)]
        self.columns = [printable(heading) for heading in self.columns]

    def add(self, *cells: object) -> None:
        """Adds a row of cells, converted by ``str`` and made printable.

        Raises:
            ValueError: The number of cells is not that of columns.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"a row of {len(cells)} cells in {len(self.columns)} columns")
        self.rows.append(tuple(printable(str(cell)) for cell in cells))

    def plain(self) -> str:
        """Returns aligned lines without control codes; nothing is truncated or wrapped."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = [self._line(cells, widths) for cells in (self.columns, *self.rows)]
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

    def markdown(self) -> str:
        """Returns a GitHub-flavored Markdown table."""
        rule = ["--:" if side == "right" else ":--" for side in self.align]
        rows = [[cell.replace("|", r"\|") for cell in row] for row in (self.columns, *self.rows)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (rows[0], rule, *rows[1:]))

    def html(self) -> str:
        """Returns an HTML table without styles of its own, except for the alignment."""
        return html_table(self.columns, self.align, self.rows)

    def rich(self) -> RichTable:
        """Returns a table for a terminal, whose numbers are never truncated."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading, side in zip(self.columns, self.align, strict=True):
            figures = side == "right"
            table.add_column(
                Text(heading),
                justify="right" if figures else "left",
                no_wrap=figures,
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = [
            cell.rjust(width) if side == "right" else cell.ljust(width)
            for cell, width, side in zip(cells, widths, self.align, strict=True)
        ]
        return "  ".join(padded).rstrip()

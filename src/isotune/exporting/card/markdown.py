"""Renders a card as GitHub-flavored Markdown with the metadata in front.

Tables stand for figures, so that the file needs no others beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import yaml
from typing_extensions import assert_never

from isotune.exporting.card.document import (
    Block,
    Card,
    Facts,
    Gallery,
    Items,
    Listing,
    Matrix,
    Paragraph,
    Plot,
    Rows,
    Section,
)
from isotune.printable import printable
from isotune.reports.mistakes import mistakes_table
from isotune.reports.tables import Table

_SPECIAL = re.compile(
    r"(?P<backslashed>[`*\[\]~#]|(?<!\w)_|_(?!\w))|[&<>|\\$]|(?<=:)/(?=/)|(?<=www)\.", re.IGNORECASE
)
"""Characters that mean something in a line. Those that a backslash does not quote stand as
entities: tables, HTML, and formulas on GitHub and the Hub come before a backslash counts, and an
address becomes a link."""

_MARK = re.compile(r"([-+=]|\d+[.)])(?=[-=\s]|$)")
"""What begins a list, underlines a heading or draws a line at the start of a block."""


def as_markdown(card: Card) -> str:
    """Returns a card as Markdown."""
    metadata = yaml.safe_dump(
        dict(card.metadata), sort_keys=False, allow_unicode=True, width=math.inf
    )
    parts = [f"---\n{metadata}---", f"# {escaped(card.title)}", *sections_markdown(card.sections)]
    return "\n\n".join(parts) + "\n"


def sections_markdown(sections: Sequence[Section]) -> list[str]:
    """Returns the headings and blocks of sections as Markdown."""
    parts = []
    for section in sections:
        parts.append(f"## {escaped(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block))]
    return parts


def escaped(text: str) -> str:
    """Returns Markdown that shows a text as it is, in one line."""
    return _SPECIAL.sub(_quoted, printable(text).strip())


def _paragraph(text: str) -> str:
    """Returns escaped text that begins no other block."""
    text = escaped(text)
    mark = _MARK.match(text)
    return text if mark is None else f"{mark[0][:-1]}\\{mark[0][-1]}{text[mark.end() :]}"


def _quoted(found: re.Match[str]) -> str:
    return f"\\{found[0]}" if found["backslashed"] else f"&#{ord(found[0])};"


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return _paragraph(block.text)
        case Items():
            return "\n".join(f"- {_paragraph(text)}" for text in block.texts)
        case Facts():
            return "\n".join(f"- **{escaped(n)}**: {escaped(t)}" for n, t in block.rows.items())
        case Rows():
            return _captioned(block.table, block.caption)
        case Gallery():
            return _captioned(mistakes_table(block.mistakes), block.caption)
        case Matrix():
            table = Table(["", *block.classes])
            for name, counts in zip(block.classes, block.counts, strict=True):
                table.add(name, *counts)
            return _captioned(table, block.caption)
        case Plot():
            return ""
        case Listing():
            return _fenced(block)
        case _:
            assert_never(block)


def _captioned(table: Table, caption: str) -> str:
    rule = ["--:" if side == "right" else ":--" for side in table.align]
    rows = [[escaped(cell) for cell in row] for row in (table.columns, *table.rows)]
    lines = [f"| {' | '.join(cells)} |" for cells in (rows[0], rule, *rows[1:])]
    return "\n".join([f"{_paragraph(caption)}:", "", *lines])


def _fenced(listing: Listing) -> str:
    longest = max(map(len, re.findall("`+", listing.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{listing.language}\n{listing.text}\n{fence}"

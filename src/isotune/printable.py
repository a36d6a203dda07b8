"""Text from outside, made fit for a terminal, a message or a spreadsheet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape

VALUE, LINE = 400, 1500
"""Number of characters that a word and a line of a message may have."""

_JOINERS = "\u200c\u200d"
"""Zero-width non-joiner and joiner, which Persian, Indic scripts and emoji are written with."""

_FORMULA = re.compile(r"[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""First characters of a cell by which a spreadsheet takes it for a formula, full-width ones too."""


def printable(text: str) -> str:
    """Returns text in one line without characters that could control a terminal.

    Control characters, line ends, marks that reverse the direction of text, and bytes of file
    names that are not text become escapes as in Python: ``\\x1b``, ``\\n``, ``\\u202e``. All other
    text stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def message_line(text: str) -> str:
    """Returns printable text for a line of a message, without the middle of very long values."""
    text = re.sub(rf"\S{{{VALUE + 1},}}", lambda word: shortened(word[0], VALUE), text)
    return shortened(printable(shortened(text, LINE)), LINE)


def csv_cell(text: str) -> str:
    """Returns printable text for a cell of a CSV file that no spreadsheet takes for a formula.

    A cell that begins like one gets an apostrophe in front, as OWASP recommends against CSV
    injection (https://owasp.org/www-community/attacks/CSV_Injection).
    """
    text = printable(text)
    return f"'{text}" if _FORMULA.match(text.lstrip()) else text


def html_table(columns: Sequence[str], align: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table for a notebook, in its own colors; all text is printable and escaped.

    Args:
        columns: Headings; all empty for a table without them.
        align: ``left`` or ``right`` for each column.
        rows: Cells as text.
    """
    styles = [f' style="text-align: {side}"' for side in align]

    def line(tag: str, cells: Sequence[str]) -> str:
        shown = zip(styles, cells, strict=True)
        inner = (f"<{tag}{style}>{escape(printable(cell))}</{tag}>" for style, cell in shown)
        return f"<tr>{''.join(inner)}</tr>"

    head = f"<thead>{line('th', columns)}</thead>" if any(columns) else ""
    return f"<table>{head}<tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"


def shortened(text: str, limit: int) -> str:
    """Returns text of at most `limit` characters, without its middle if it is longer."""
    if len(text) <= limit:
        return text
    end = limit // 4
    return f"{text[: limit - end - 3]}...{text[-end:]}"


def _shown(character: str) -> str:
    # No space other than the common one counts as printable, though all others are harmless.
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is not text, as os.fsdecode gives it
        number -= 0xDC00
    if number < 0x100:
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"

"""Standard output: colors and frames for a terminal, plain lines for everything else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from isotune.reports.tables import Table

PLAIN_WIDTH = 400


def output(stream: TextIO | None = None) -> Console:
    """Returns a console on standard output, or on another stream.

    Only a real terminal is one: variables such as ``FORCE_COLOR`` put no control codes into
    a pipe or a file.
    """
    from rich.console import Console

    stream = stream or sys.stdout
    terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=terminal,
        width=None if terminal else PLAIN_WIDTH,
        highlight=False,
        soft_wrap=True,
    )


def show_table(console: Console, table: Table) -> None:
    """Shows a table: framed on a terminal, aligned text elsewhere."""
    if console.is_terminal:
        console.print(table.rich(), soft_wrap=False)
    else:
        show(console, table.plain())


def show(console: Console, text: str = "", style: str | None = None) -> None:
    """Shows text as it is, however long: brackets are not markup, lines are not wrapped."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def quoted(path: Path) -> str:
    """Returns a path as a shell takes it."""
    from shlex import quote

    return quote(str(path))

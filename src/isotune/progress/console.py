"""Where text is shown: colors and frames for a terminal, plain lines for everything else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from isotune.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from isotune.reports.tables import Table

PLAIN_WIDTH = 400


def output(stream: TextIO | None = None) -> Console:
    """Returns a console on standard output, or on another stream.

    A pipe or a file gets no control codes, whatever variables such as ``FORCE_COLOR`` say.
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
        force_jupyter=False,
    )


def progress_console() -> Console:
    """Returns where Python shows progress: the notebook's cell, or standard error."""
    return output() if in_notebook() else output(sys.stderr)


def in_notebook() -> bool:
    """Whether this is a notebook, whose cells show what is displayed."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


def show_table(console: Console, table: Table) -> None:
    """Shows a table: framed on a terminal, aligned text elsewhere."""
    if console.is_terminal:
        console.print(table.rich(), soft_wrap=False)
    else:
        show(console, table.plain())


def show(console: Console, text: str = "", style: str | None = None) -> None:
    """Shows printable text as it is: brackets are not markup, and long lines are not wrapped."""
    text = "\n".join(map(printable, text.split("\n")))
    console.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def quoted(path: Path) -> str:
    """Returns a path quoted for a shell."""
    from shlex import quote

    return quote(str(path))

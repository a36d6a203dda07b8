"""The reference of the command line, made from the application."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

INTRODUCTION = """# Command line

Every command of `isotune` with its arguments and options, as `isotune COMMAND --help` shows them.
What is wrong with a call or a spec is one sentence on standard error, and exit code 2; a run that
failed ends with 1, an interrupted one with 130. Results go to standard output, everything else to
standard error.
"""


def page() -> str:
    """Returns the page."""
    from typer.main import get_command

    from isotune.cli.app import app

    application = get_command(app)
    context = application.context_class(application, info_name="isotune")
    return "\n".join([INTRODUCTION, *_options(application, context), *_commands(context, 2)])


def _commands(context: Any, level: int) -> Iterator[str]:
    """Yields the lines on all commands of a group, in the order of its help."""
    group = context.command
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command.hidden:
            continue
        inner = command.context_class(command, info_name=name, parent=context)
        yield f"{'#' * level} {inner.command_path}\n"
        yield f"{_text(command.help)}\n"
        usage = [inner.command_path, *command.collect_usage_pieces(inner)]
        yield f"```text\n{' '.join(usage)}\n```\n"
        yield from _options(command, inner)
        if hasattr(command, "list_commands"):
            yield from _commands(inner, level + 1)


def _options(command: Any, context: Any) -> list[str]:
    """Returns a table of a command's arguments and options."""
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [f"| `{names}` | {_cell(_text(text))} |" for names, text in filter(None, records)]
    return ["| argument or option | meaning |", "|---|---|", *rows, ""] if rows else []


def _text(text: str | None) -> str:
    """Returns a help text as Markdown."""
    text = (text or "").replace("\b", "").strip()
    return re.sub(r"([<\[_*])", r"\\\1", text)


def _cell(text: str) -> str:
    """Returns a text for a cell of a table."""
    return re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|")

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
    """Returns the page, with the headings of the help."""
    from typer.main import get_command

    from isotune.cli.app import app

    application = get_command(app)
    context = application.context_class(application, info_name="isotune")
    lines = [INTRODUCTION, *_options(application, context)]
    headings: dict[str, list[str]] = {}
    for name in application.list_commands(context):
        heading = application.get_command(context, name).rich_help_panel
        headings.setdefault(heading, []).append(name)
    for heading, names in headings.items():
        lines.append(f"## {heading}\n")
        lines += (line for name in names for line in _command(context, name, 3))
    return "\n".join(lines)


def _command(group: Any, name: str, level: int) -> Iterator[str]:
    """Yields the lines on a command of a group's context, and on those that it has itself."""
    command = group.command.get_command(group, name)
    if command.hidden:
        return
    context = command.context_class(command, info_name=name, parent=group)
    yield f"{'#' * level} {context.command_path}\n"
    yield f"{_text(command.help)}\n"
    usage = [context.command_path, *command.collect_usage_pieces(context)]
    yield f"```text\n{' '.join(usage)}\n```\n"
    yield from _options(command, context)
    if hasattr(command, "list_commands"):
        for each in command.list_commands(context):
            yield from _command(context, each, level + 1)


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

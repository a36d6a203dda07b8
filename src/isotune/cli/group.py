"""Turns the end of a command into an exit code and, after an error, a short message."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from isotune.cli.launched import above, leave_others, told
from isotune.cli.messages import complain, show_warnings
from isotune.cli.streams import discard_output
from isotune.errors import IsotuneError, LostProcessError, SpecError
from isotune.printable import printable
from isotune.storage.memory import describe_shortage

# Newer releases of Typer carry their own Click: this class is Click's in both.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]

WRONG_CALL = 2
FAILED = 1
BUG = 1
INTERRUPTED = 130  # 128 + SIGINT, the convention of shells


def need_a_command(context: typer.Context) -> str:
    """Returns which command of a group was given; without one, shows the group's help and ends."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(WRONG_CALL)
    return context.invoked_subcommand


class IsotuneGroup(TyperGroup):
    """The application's commands."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Runs a command and exits with 0, 1 for a failed run, or 2 for a wrong call or spec."""
        code, error = self._run(args, *rest, **options)
        if not told(code, error) and error is not None:
            complain(str(error), own=isinstance(error, (_Bug, LostProcessError)))
        if error is not None:
            leave_others(code)
        sys.exit(code)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the commands by what a person wants, where nothing is framed."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.commands[name]
            panel = getattr(command, "rich_help_panel", None)
            help_text = command.get_short_help_str(formatter.width)
            panels.setdefault(panel if isinstance(panel, str) else "Commands", []).append(
                (name, help_text)
            )
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)

    def _run(
        self, args: Sequence[str] | None, *rest: Any, **options: Any
    ) -> tuple[int, IsotuneError | None]:
        """Runs a command; returns its exit code, and the error to show."""
        show_warnings()
        args = sys.argv[1:] if args is None else args
        try:
            _check_call(args)
            code = super().main(args, *rest, **{**options, "standalone_mode": False})
            sys.stdout.flush()  # at exit, an error would come too late for a message
        except UsageError as error:
            return _wrong_call(error), None
        except typer.Abort:
            if above() is None:
                complain("interrupted.")
            return INTERRUPTED, None
        except IsotuneError as error:
            return error.exit_code, error
        except BrokenPipeError:  # the reader of a pipe may leave at any time, without a word
            discard_output()
            return FAILED, None
        except Exception as error:
            if shortage := describe_shortage(error):
                return FAILED, IsotuneError(f"{shortage}.")
            if os.environ.get("ISOTUNE_VERBOSE"):
                raise
            return BUG, _Bug(
                f"this is a bug in Isotune or in a plugin: {type(error).__name__}:"
                f" {printable(str(error))}",
                "Set ISOTUNE_VERBOSE=1 to see the traceback.",
            )
        return code if isinstance(code, int) else 0, None


class _Bug(IsotuneError):
    """An error that nobody has expected."""


def _check_call(args: Sequence[str]) -> None:
    """Refuses empty arguments, of which a path would be the working directory, and to work in none.

    Raises:
        SpecError: An argument is empty, or the working directory is gone.
    """
    for before, argument in zip(("isotune", *args), args, strict=False):
        name, separator, value = argument.partition("=")
        if not argument or (name.startswith("--") and separator and not value):
            raise SpecError(
                f"the argument after '{before}' is empty; give it a value or leave it out."
            )
    try:
        Path.cwd()
    except OSError:
        raise SpecError(
            "the working directory is no longer there; change to one that is, and call again."
        ) from None


def _wrong_call(error: Any) -> int:
    """Shows what is wrong with the call and how to get help; returns the exit code."""
    complain(error.format_message())
    if error.ctx is not None:
        complain(f"`{error.ctx.command_path} --help` shows how it is called.")
    return WRONG_CALL

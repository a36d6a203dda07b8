"""Turns the end of a command into an exit code and, after an error, a short message."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from isotune.cli.messages import complain, show_warnings
from isotune.errors import IsotuneError
from isotune.storage.memory import describe_shortage

# Newer releases of Typer carry their own Click: this class is Click's in both.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]

WRONG_CALL = 2
FAILED = 1
BUG = 1
INTERRUPTED = 130  # 128 + SIGINT, the convention of shells


class IsotuneGroup(TyperGroup):
    """The application's commands."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Runs a command and exits with 0, 1 for a failed run, or 2 for a wrong call or spec."""
        show_warnings()
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except UsageError as error:
            code = _wrong_call(error)
        except typer.Abort:
            complain("interrupted.")
            code = INTERRUPTED
        except IsotuneError as error:
            complain(str(error))
            code = error.exit_code
        except Exception as error:
            if shortage := describe_shortage(error):
                complain(f"{shortage}.")
                sys.exit(FAILED)
            if os.environ.get("ISOTUNE_VERBOSE"):
                raise
            complain(
                f"this is a bug in Isotune or in a plugin: {type(error).__name__}: {error}\n"
                "Set ISOTUNE_VERBOSE=1 to see the traceback."
            )
            code = BUG
        sys.exit(code if isinstance(code, int) else 0)


def _wrong_call(error: Any) -> int:
    """Shows what is wrong with the call and how to get help; returns the exit code."""
    complain(error.format_message())
    if error.ctx is not None:
        complain(f"`{error.ctx.command_path} --help` shows how it is called.")
    return WRONG_CALL

"""Calls the command line in this process, and judges how it ends and what it prints."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from typer.main import get_command

from command_line import restored_log
from hostile.harness import message_fault
from isotune.cli.app import app

BUG = ("bug in Isotune", "Traceback")


def called(command: Sequence[object], home: Path) -> str:
    """Calls ``isotune COMMAND`` and returns its messages if it was refused, else an empty string.

    Args:
        command: The arguments.
        home: The home folder.

    Raises:
        AssertionError: It ended in another way than with 0, 1 or 2, called something a bug, or
            printed what is not printable.
    """
    out, err = io.StringIO(), io.StringIO()
    with _home(home), restored_log(), redirect_stdout(out), redirect_stderr(err):
        try:
            _application()([str(argument) for argument in command], prog_name="isotune")
            code: object = 0
        except SystemExit as end:
            code = end.code
    shown, told = f"isotune {command[0]}", err.getvalue()
    assert code in (0, 1, 2), f"{shown} ended with {code}: {told}"
    assert not any(word in told for word in BUG), f"{shown}: {told}"
    fault = message_fault(told.rstrip("\n"))
    assert fault is None, f"{shown}: {fault}"
    for line in out.getvalue().split("\n"):
        assert line.isprintable(), f"{shown} prints what is not printable: {line!r}"
    return "" if code == 0 else told


@cache
def _application() -> Any:
    # Typer would build its commands for every call.
    return get_command(app)


@contextmanager
def _home(home: Path) -> Iterator[None]:
    before = os.environ.get("ISOTUNE_HOME")
    os.environ["ISOTUNE_HOME"] = str(home)
    try:
        yield
    finally:
        if before is None:
            del os.environ["ISOTUNE_HOME"]
        else:
            os.environ["ISOTUNE_HOME"] = before

"""Watches a run and, when it is stopped, tells what it left."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from isotune.cli.group import INTERRUPTED
from isotune.cli.messages import complain
from isotune.cli.progress import RunProgress
from isotune.errors import StoppedError, TrainingError

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def watched(console: Console, layers: bool = False) -> Iterator[RunProgress]:
    """Gives an observer for ``isotune.run``, which shows the model's layers if asked to.

    Raises:
        typer.Exit: with 130, after Ctrl-C or SIGTERM.
    """
    progress = RunProgress(console, layers)
    try:
        with _stopped_by_sigterm(), progress:
            yield progress
    except StoppedError as error:
        raise StoppedError(f"{error}\nTo go on: {progress.how_to_go_on()}") from error
    except KeyboardInterrupt:
        complain(f"interrupted; {progress.left_behind()}")
        if command := progress.how_to_go_on():
            complain(f"To go on: {command}")
        raise typer.Exit(INTERRUPTED) from None
    except TrainingError as error:
        raise TrainingError(f"{error}\n{progress.left_behind()}") from error


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Lets SIGTERM do what Ctrl-C does: the run ends in order.

    A job scheduler sends it; and so does MindSpore, which with every graph it runs puts a
    handler of its own in Python's place that answers Ctrl-C with a SIGTERM to the process.
    """
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)

"""Shows the progress of a run and, when it stops early, how to resume it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from isotune.cli.group import INTERRUPTED
from isotune.cli.launched import above
from isotune.cli.messages import complain
from isotune.errors import StoppedError, TrainingError
from isotune.progress.run import RunProgress

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


@contextmanager
def watched(
    console: Console,
    layers: bool = False,
    *,
    show: Callable[[Console, bool], RunProgress] = RunProgress,
) -> Iterator[RunProgress]:
    """Yields an observer for ``isotune.run`` that shows the run's progress.

    Args:
        console: the output.
        layers: whether to show the model's layers first.
        show: makes the observer.

    Raises:
        typer.Exit: with code 130, after Ctrl-C or SIGTERM.
        StoppedError: the run stopped; the message says how to resume it.
        TrainingError: training failed; the message says which checkpoints there are.
    """
    progress = show(console, layers)
    if above() is not None:  # where watched_from_outside says the rest
        with _stopped_by_sigterm(), progress:
            yield progress
        return
    with _explained(progress), _stopped_by_sigterm(), progress:
        yield progress


@contextmanager
def watched_from_outside(folder: Path, processes: int) -> Iterator[None]:
    """Says how to resume a run in other processes, if it stops early.

    Args:
        folder: The run's folder.
        processes: Their number.

    Raises:
        IsotuneError: As :func:`watched`.
    """
    from isotune.experiment.processes import is_run
    from isotune.progress.console import output

    progress = RunProgress(output(), processes=processes)
    with _explained(progress):
        try:
            yield
        finally:
            progress.folder = folder if is_run(folder) else None


@contextmanager
def _explained(progress: RunProgress) -> Iterator[None]:
    """Adds to what ends a run early how it is resumed."""
    try:
        yield
    except StoppedError as error:
        raise StoppedError(*error.args, f"To go on: {progress.how_to_go_on()}") from error
    except KeyboardInterrupt:
        complain(f"interrupted; {progress.left_behind()}")
        if command := progress.how_to_go_on():
            complain(f"To go on: {command}")
        raise typer.Exit(INTERRUPTED) from None
    except TrainingError as error:
        raise TrainingError(*error.args, progress.left_behind()) from error


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Makes SIGTERM raise KeyboardInterrupt like Ctrl-C, so that the run ends in order.

    Job schedulers send SIGTERM. So does MindSpore: with every graph that it runs it replaces
    Python's handler of Ctrl-C with its own, which sends a SIGTERM to the process.
    """
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)

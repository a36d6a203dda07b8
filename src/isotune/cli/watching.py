"""Watches a run and, when it is stopped, tells what it left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from isotune.cli.group import INTERRUPTED
from isotune.cli.messages import complain
from isotune.cli.progress import RunProgress
from isotune.errors import TrainingError

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def watched(console: Console) -> Iterator[RunProgress]:
    """Gives an observer for ``isotune.run``.

    Raises:
        typer.Exit: with 130, after Ctrl-C.
    """
    progress = RunProgress(console)
    try:
        with progress:
            yield progress
    except KeyboardInterrupt:
        complain(f"interrupted; {progress.left_behind()}")
        raise typer.Exit(INTERRUPTED) from None
    except TrainingError as error:
        raise TrainingError(f"{error}\n{progress.left_behind()}") from error

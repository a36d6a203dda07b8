"""Bars that move: rich's on a terminal, an HTML element in a notebook."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from html import escape
from typing import TYPE_CHECKING

from isotune.progress.console import in_notebook
from isotune.reports.numbers import duration

if TYPE_CHECKING:
    from IPython.display import DisplayHandle
    from rich.console import Console
    from rich.progress import Progress, TaskID

REDRAWN = 0.1
"""Seconds between two drawings in a notebook, where each is a message to the browser."""


class Bar(ABC):
    """Shows how far something is."""

    @abstractmethod
    def show(self, before: str, completed: int, total: int, after: str) -> None:
        """Shows the bar.

        Args:
            before: Text in front of it.
            completed: Number of completed steps; fewer than before begin anew.
            total: Number of all steps.
            after: Text behind it.
        """

    @abstractmethod
    def make_way(self) -> None:
        """Lets a line be printed, without the bar in between."""

    @abstractmethod
    def close(self) -> None:
        """Removes the bar."""


def bar_on(console: Console) -> Bar | None:
    """Returns the bar that belongs to a console; None where none can move."""
    if console.is_terminal:
        return TerminalBar(console)
    return NotebookBar() if in_notebook() else None


class TerminalBar(Bar):
    """Rich's bar, below the lines that a terminal shows."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID

    def show(self, before: str, completed: int, total: int, after: str) -> None:
        """Shows the bar."""
        if self._bar is None:
            self._bar = _rich_bar(self._console)
            self._task = self._bar.add_task(before, total=total, after=after)
            self._bar.start()
        self._bar.update(self._task, completed=completed, description=before, after=after)

    def make_way(self) -> None:
        """Removes the bar until it is shown again."""
        self.close()

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class NotebookBar(Bar):
    """A bar in a notebook's cell, which stays where it appeared while lines come below it.

    It is HTML: rich's would need ipywidgets, and leave one in the saved notebook for each epoch.
    """

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None
        self._start = (0.0, 0)
        self._completed = 0
        self._drawn = 0.0

    def show(self, before: str, completed: int, total: int, after: str) -> None:
        """Shows the bar."""
        now = time.monotonic()
        if self._handle is None or completed < self._completed:
            self._start = (now, completed)
        self._completed = completed
        if now < self._drawn + REDRAWN and completed < total:
            return
        self._drawn = now
        begun, first = self._start
        left = (now - begun) / max(1, completed - first) * (total - completed)
        remaining = f", {duration(left)} left" if first < completed < total else ""
        self._draw(
            f"<div>{escape(before)} <progress value={completed} max={total}></progress>"
            f" {completed}/{total}, {escape(after)}{remaining}</div>"
        )

    def make_way(self) -> None:
        """Does nothing, since lines come below."""

    def close(self) -> None:
        """Removes the bar."""
        if self._handle is not None:
            self._draw("")
            self._handle = None

    def _draw(self, html: str) -> None:
        from IPython.display import HTML, display

        if self._handle is None:
            self._handle = display(HTML(html), display_id=True)
        else:
            self._handle.update(HTML(html))


def _rich_bar(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[after]}", markup=False),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )

"""Shows the progress of a download: a bar on a terminal, else one line in the log."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from isotune.printable import printable
from isotune.storage.downloads.address import shown

if TYPE_CHECKING:
    from rich.progress import Progress

log = logging.getLogger("isotune.storage.downloads")


class DownloadProgress:
    """The progress of one file: a context manager, which removes the bar at the end."""

    def __init__(self, url: str) -> None:
        self._url = shown(url)
        self._bar: Progress | None = None
        self._logged = False

    def __enter__(self) -> DownloadProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def start(self, done: int, total: int | None) -> None:
        """Starts the display with `done` of `total` bytes received."""
        if sys.stderr.isatty():
            self._start_bar(done, total)
        elif not self._logged:
            log.info("downloading %s%s", self._url, _amount(done, total))
        self._logged = True

    def advance(self, size: int) -> None:
        """Shows that `size` more bytes were received."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=size)

    def _start_bar(self, done: int, total: int | None) -> None:
        if self._bar is None:
            self._bar = _bar()
            self._bar.add_task(printable(self._url.rpartition("/")[2] or self._url))
            self._bar.start()
        # Speed and remaining time refer to this attempt.
        self._bar.reset(self._bar.task_ids[0], total=total, completed=done)


def _amount(done: int, total: int | None) -> str:
    if total is None:
        return ""
    rest = f", the last {(total - done) / 1e6:,.1f} of them" if done else ""
    return f" ({total / 1e6:,.1f} MB{rest})"


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )

"""Ends a run in order when the user or the system asks for it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


@dataclass
class Stop:
    """A wish to stop.

    Attributes:
        reason: the signal's name; None while nobody asks for it.
    """

    reason: str | None = None

    @property
    def requested(self) -> bool:
        """Whether somebody asks for it."""
        return self.reason is not None


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Has the first SIGINT or SIGTERM ask for a stop, and the second one interrupt at once.

    Where signals cannot be handled, outside the main thread, it changes nothing.

    MindSpore puts a handler of its own in Python's place with every graph it runs, which answers
    SIGINT with a SIGTERM to the process: the reason is then told as SIGTERM.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.reason = signal.Signals(number).name
        log.warning("%s: stopping after the next step; once more stops at once.", stop.reason)

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

"""Turns signals into requests to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from isotune.interfaces.events import StopRequest

SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


@contextmanager
def stop_on_signals(alone: bool = True) -> Iterator[StopRequest]:
    """Makes the first SIGINT or SIGTERM request a stop, and the second one interrupt at once.

    Where signals cannot be handled, outside the main thread, it changes nothing.

    Args:
        alone: Whether there are no other processes. If there are, only a second SIGINT interrupts:
            a launcher that is asked to stop may send each process SIGTERM, even several times, and
            one that ended at once would take the others with it before they are saved.

    A framework may install handlers of its own that turn SIGINT into SIGTERM, which is then the
    reason given.
    """
    stop, received = StopRequest(), list[str]()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if received and (alone or (received.count(name) and number == signal.SIGINT)):
            raise KeyboardInterrupt
        if not received:
            stop.request(name)
            second = "signal" if alone else "SIGINT"
            log.warning(
                "%s: stopping after the next step; a second %s stops at once.", name, second
            )
        received.append(name)

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

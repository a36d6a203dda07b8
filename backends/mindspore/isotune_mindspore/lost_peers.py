"""Ends a process that waits for others which are gone.

A collective on CPUs (MindSpore 2.10) waits for a process that has ended until its time is over, and
nothing interrupts it. MindSpore's scheduler misses the process much sooner: it ends, and each other
process gets SIGTERM from its own MindSpore. But a handler in Python runs only after the collective.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from isotune.errors import LOST, LostProcessError

MISSES = 3
"""Number of seconds in a row in which the scheduler must be out of reach."""

_waiting = threading.Event()


@contextmanager
def waiting() -> Iterator[None]:
    """Context in which the process may have to wait for others."""
    _waiting.set()
    try:
        yield
    finally:
        _waiting.clear()


def end_with_peers(environment: Mapping[str, str]) -> None:
    """Ends this process, from now on, if it waits for others after SIGTERM and they are gone.

    They are gone if the scheduler is. If it is not, SIGTERM has come from elsewhere: whoever
    handles it does so once the collective is over. Does nothing outside the main thread, which
    alone handles signals.

    Args:
        environment: What ``msrun`` has set.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    place = environment["MS_SCHED_HOST"], int(environment["MS_SCHED_PORT"])
    threading.Thread(target=_watch, args=(reading, place), daemon=True).start()


def _watch(signals: int, scheduler: tuple[str, int]) -> None:
    while signal.SIGTERM not in os.read(signals, 64):
        pass
    misses = 0
    while misses < MISSES or not _waiting.is_set():
        time.sleep(1)
        misses = 0 if _reaches(scheduler) else misses + 1
    with suppress(OSError):
        advice = "`isotune resume FOLDER` continues the run."
        print(f"isotune: {LOST.removesuffix('.')}; {advice}", file=sys.stderr, flush=True)
    os._exit(LostProcessError.exit_code)


def _reaches(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=1).close()
    except OSError:
        return False
    return True

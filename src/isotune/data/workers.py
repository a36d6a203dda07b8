"""Threads that read and decode images."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

MAX_DEFAULT_WORKERS = 16
"""Upper bound on the default number of decoding threads. Even with a process at its side
(:mod:`isotune.data.decoders`) each needs the interpreter's lock for about 0.1 ms an image, so that
more of them would wait for each other."""

CHUNK = 64
"""Number of files that a thread reads at a time."""

_T = TypeVar("_T")


def worker_count(workers: int | None, processes: int = 1) -> int:
    """Returns `workers`, or for None the number of CPUs that this process may use, at most 16.

    Args:
        workers: Number of threads.
        processes: Number of processes that share the CPUs.
    """
    if workers is not None:
        return workers
    return max(min(usable_cpus() // processes, MAX_DEFAULT_WORKERS), 1)


def usable_cpus() -> int:
    """Returns the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(read: Callable[[int], _T], indices: Sequence[int], workers: int | None) -> list[_T]:
    """Returns ``read(index)`` for all `indices`, computed by threads, or here if one is enough."""
    if worker_count(workers) == 1:
        return [read(index) for index in indices]
    starts = range(0, len(indices), CHUNK)
    executor = ThreadPoolExecutor(worker_count(workers), "isotune-check")
    try:
        chunks = executor.map(
            lambda start: [read(index) for index in indices[start : start + CHUNK]], starts
        )
        return [result for chunk in chunks for result in chunk]
    finally:
        executor.shutdown(cancel_futures=True)


class Room:
    """Bounds what threads hold at the same time, by letting them wait. Thread-safe.

    Args:
        size: Units that all threads may hold together. One that takes more has it alone.
        small: Number of units that are taken without waiting, and not counted.
    """

    def __init__(self, size: int, small: int) -> None:
        self._size, self._small = size, small
        self._free = size
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, units: int) -> Iterator[None]:
        """Holds `units` within the context, and waits for them first."""
        if units < self._small:
            yield
            return
        units = min(units, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= units)
            self._free -= units
        try:
            yield
        finally:
            with self._changed:
                self._free += units
                self._changed.notify_all()

"""Starts the processes, and lends each to one thread at a time."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from functools import cache

import numpy as np
from numpy.typing import NDArray

from isotune.data.decoders.process import SUPPORTED, DecodingProcess, Opener
from isotune.data.workers import MAX_DEFAULT_WORKERS

log = logging.getLogger(__name__)

THREADS = 4
"""Number of threads that the interpreter's lock does not slow down much."""

IMAGES = 10_000
"""Number of images from which on processes are worth their start, 0.3 s of a CPU each."""


class DecodingProcesses:
    """Processes that start when they are first needed, and end with this one. Thread-safe.

    Args:
        owner: Id of this process.
    """

    def __init__(self, owner: int) -> None:
        self._owner = owner
        self._lock = threading.Lock()
        self._all: list[DecodingProcess] = []
        self._starting: list[DecodingProcess] = []
        self._idle: list[DecodingProcess] = []
        self._wanted, self._limit = 0, MAX_DEFAULT_WORKERS
        atexit.register(self.close)

    @property
    def processes(self) -> tuple[DecodingProcess, ...]:
        """All that were started and have not failed."""
        return tuple(self._all)

    def want(self, count: int) -> None:
        """Asks for at least `count` processes, which start with the first image.

        There are at most :data:`~isotune.data.workers.MAX_DEFAULT_WORKERS`, and no new ones after
        one has failed.
        """
        self._wanted = max(self._wanted, count)

    def _missing(self) -> bool:
        return len(self._all) < min(self._wanted, self._limit)

    def start(self) -> None:
        """Starts the processes that are wanted, and waits until they are ready.

        Raises:
            OSError: One cannot be started.
            EOFError: One has ended.
        """
        with self._lock:
            while self._missing():
                self._all.append(DecodingProcess())
                self._starting.append(self._all[-1])
            while self._starting:
                if self._starting[0].ready(wait=True):
                    self._idle.append(self._starting.pop(0))

    def image(
        self, opener: Opener, job: bytes, position: tuple[int, int, int]
    ) -> NDArray[np.uint8] | None:
        """Returns what a job makes of an image, or None if the caller shall do it.

        Arguments and result are those of :meth:`DecodingProcess.image`. None also means that
        no process has started yet, or that the one that was asked has ended.
        """
        process = self._taken()
        if process is None:
            return None
        try:
            made = process.image(opener, job, position)
        except (OSError, EOFError):
            self._lose(process)
            return None
        self._idle.append(process)
        return made

    def _taken(self) -> DecodingProcess | None:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        if (self._starting or self._missing()) and self._lock.acquire(blocking=False):
            try:
                return self._started()
            finally:
                self._lock.release()
        return None

    def _started(self) -> DecodingProcess | None:
        """Starts a process if one is missing; returns one that has become ready."""
        try:
            if self._missing():
                self._all.append(DecodingProcess())
                self._starting.append(self._all[-1])
            for process in self._starting:
                if process.ready():
                    self._starting.remove(process)
                    return process
        except OSError as error:  # no memory, say
            self._give_up(f"cannot be started: {error.strerror}")
        except EOFError:
            self._starting.remove(process)
            self._give_up("has ended")
        return None

    def _lose(self, process: DecodingProcess) -> None:
        """Ends a process that does not answer."""
        with self._lock:
            self._all.remove(process)
            self._give_up("has ended")
        process.ask_to_end()
        process.wait()

    def _give_up(self, reason: str) -> None:
        """Starts no other process, since it may end, too."""
        self._limit = 0
        log.warning("a process that decodes images %s; the others and threads go on.", reason)

    def close(self) -> None:
        """Ends all processes, and starts none any more."""
        if os.getpid() != self._owner:
            return  # it was forked, and they are not its own
        with self._lock:
            self._limit = 0
            self._idle.clear()
            self._starting.clear()
            for process in self._all:
                process.ask_to_end()
            for process in self._all:
                process.wait()
            self._all.clear()


def shared_processes(workers: int, images: int) -> DecodingProcesses | None:
    """Returns the processes for so many threads and images, or None if threads are enough."""
    if workers <= THREADS or images < IMAGES or not SUPPORTED:
        return None
    processes = processes_of(os.getpid())
    processes.want(workers)
    return processes


@cache
def processes_of(owner: int) -> DecodingProcesses:
    """Returns the processes that all batches of a process share.

    Args:
        owner: The process's id: one that was forked must not use the pipes of its parent.
    """
    return DecodingProcesses(owner)

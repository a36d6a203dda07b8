"""What the processes of a run agree on at the start of each training step."""

from __future__ import annotations

from collections.abc import Callable

from isotune.distributed.group import Group
from isotune.interfaces.events import StopRequest

MORE, DUE, STOP, FAULT = 1, 2, 4, 8
"""Bits of the first byte of a process's message; the reason of a stop follows it."""


class Agreement:
    """Keeps what decides on steps, checkpoints and stops the same in all processes of a run.

    Each of them may be asked to stop at any time, and only one looks at the clock. What they do
    follows from what they have exchanged last, so that all do it at the same update. A process
    alone asks nobody, and a request to stop counts at once.

    Args:
        group: The processes.
        stop: Asks this process to stop.
        clock: Whether a checkpoint is due by this process's clock.

    Attributes:
        stop: The request that the processes have agreed on.
    """

    def __init__(self, group: Group, stop: StopRequest, clock: Callable[[], bool]) -> None:
        self._group = group
        self._own = stop
        self._clock = clock
        self._due = False
        self.stop = stop if group.place.alone else StopRequest()

    @property
    def due(self) -> bool:
        """Whether a checkpoint is due by the clock of process 0."""
        return self._clock() if self._group.place.alone else self._due

    def reach(self, more: bool = True) -> bool:
        """Agrees; returns whether all processes can go on.

        Args:
            more: Whether this one can go on: whether it has the images of the next step.

        Raises:
            IsotuneError: Another process has failed.
        """
        if self._group.place.alone:
            return more
        messages = self._group.exchange(self._message(more))
        self._due = bool(messages[0][0] & DUE)
        for message in messages:
            if message[0] & STOP:
                fault = bool(message[0] & FAULT)
                self.stop.request(message[1:].decode(errors="replace"), fault=fault)
        return all(message[0] & MORE for message in messages)

    def _message(self, more: bool) -> bytes:
        reason, fault = self._own.reason, self._own.fault
        stop = reason is not None
        flags = MORE * more | DUE * self._clock() | STOP * stop | FAULT * (stop and fault)
        return bytes([flags]) + (reason or "").encode()

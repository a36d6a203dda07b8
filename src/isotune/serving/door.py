"""Bounds the requests that are served at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from isotune.serving.limits import Limits, Refusal

RETRY_SECONDS = 1


class Door:
    """Bounds the requests that are served at the same time, and the bytes that they hold."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._visits = 0
        self._bytes = 0

    @contextmanager
    def entered(self) -> Iterator[Visit]:
        """Lets a request in.

        Raises:
            Refusal: There are too many.
        """
        if self._visits >= self._limits.waiting:
            raise _busy(f"{self._visits} requests wait already")
        self._visits += 1
        visit = Visit(self)
        try:
            yield visit
        finally:
            self._visits -= 1
            self._bytes -= visit.bytes

    def hold(self, count: int) -> None:
        """Keeps bytes for a request; refuses as :meth:`Visit.hold` says."""
        if self._bytes + count > self._limits.held_bytes:
            raise _busy("the images of other requests fill the memory")
        self._bytes += count


class Visit:
    """One request, and the bytes that it holds."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.bytes = 0

    def hold(self, count: int) -> None:
        """Keeps bytes.

        Raises:
            Refusal: All requests together hold too many.
        """
        self._door.hold(count)
        self.bytes += count


def _busy(why: str) -> Refusal:
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return Refusal(503, f"{why}; try again in a moment.", headers)

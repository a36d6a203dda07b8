"""Work in a thread beside the one that asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Does pieces of work, one after the other, in a thread.

    The first error ends that: what was started after it is left undone, and the next call of
    :meth:`check` or :meth:`wait` raises it. The thread does not keep a process from ending.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], object]) -> None:
        """Starts a piece of work, which waits for those that were started before it."""
        thread = threading.Thread(
            target=self._do, args=(work, self._thread), name=self._name, daemon=True
        )
        thread.start()
        self._thread = thread

    def check(self) -> None:
        """Raises the error of a piece of work that has failed."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        """Waits for all work, and raises its error."""
        self.join()
        self.check()

    def join(self) -> None:
        """Waits for all work."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _do(self, work: Callable[[], object], before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        if self._error is not None:
            return
        try:
            work()
        except BaseException as error:
            self._error = error

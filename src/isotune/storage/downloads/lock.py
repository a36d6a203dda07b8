"""Locks a file while one process downloads it; others wait."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from isotune.storage.downloads.errors import DownloadError
from isotune.storage.waiting import exclusive


@contextlib.contextmanager
def locked(target: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Lets one process (and one of its threads) at a time create `target`; the others wait.

    Args:
        target: the file to create. Its folder is created if necessary.
        waiting: called once if another process holds the lock.

    Raises:
        DownloadError: the folder cannot be written, or its file system does not support locks.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(exclusive(target, waiting))
        except OSError as error:
            raise DownloadError(
                f"folder {target.parent} cannot be written, or its file system has no locks"
                f" ({error.strerror}); ISOTUNE_HOME may name another"
            ) from error
        yield

"""The progress that Python shows unless ``progress=False``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from isotune.progress.console import progress_console
from isotune.progress.run import RunProgress


@contextmanager
def shown(
    progress: bool, kind: type[RunProgress] = RunProgress
) -> Iterator[tuple[RunProgress, ...]]:
    """Yields the observer that shows progress while the context lasts, or none.

    Args:
        progress: Whether to show it.
        kind: The observer's class.
    """
    if not progress:
        yield ()
        return
    with kind(progress_console()) as observer:
        yield (observer,)

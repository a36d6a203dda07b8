"""The number of threads that decode images."""

from __future__ import annotations

import os

MAX_DEFAULT_WORKERS = 8
"""Upper bound on the default number of decoding threads."""


def worker_count(workers: int | None) -> int:
    """Returns `workers`, or for None the number of CPUs that this process may use, at most 8."""
    if workers is not None:
        return workers
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MAX_DEFAULT_WORKERS)
    return min(os.cpu_count() or 1, MAX_DEFAULT_WORKERS)

"""The number of threads that decode images."""

from __future__ import annotations

import os

MAX_DEFAULT_WORKERS = 8
"""Upper bound on the default number of decoding threads."""


def worker_count(workers: int | None) -> int:
    """Returns `workers`, or for None the number of CPUs that this process may use, at most 8."""
    return min(usable_cpus(), MAX_DEFAULT_WORKERS) if workers is None else workers


def usable_cpus() -> int:
    """Returns the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

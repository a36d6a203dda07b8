"""How many threads decode images."""

from __future__ import annotations

import os

MOST = 8
"""Threads that are taken unasked."""


def worker_count(workers: int | None) -> int:
    """Returns `workers`, or where it is None the CPUs this process may use, up to :data:`MOST`."""
    if workers is not None:
        return workers
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MOST)
    return min(os.cpu_count() or 1, MOST)

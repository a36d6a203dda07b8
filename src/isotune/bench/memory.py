"""How much memory a process has used at most."""

from __future__ import annotations

import sys


def peak_memory_mib() -> float | None:
    """Returns the largest resident size of this process so far, in MiB; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024) / 2**20

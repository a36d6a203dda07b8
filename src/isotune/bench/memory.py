"""The peak memory of this process."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path


def peak_memory_mib() -> float | None:
    """Returns the peak resident set size of this process in MiB, or None on Windows.

    On Linux it is the kernel's VmHWM, since ``getrusage`` there includes the size of the process
    that started this one.
    """
    with suppress(OSError):
        status = Path("/proc/self/status").read_text("utf-8")
        if match := re.search(r"^VmHWM:\s*(\d+) kB", status, re.M):
            return int(match.group(1)) / 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024) / 2**20

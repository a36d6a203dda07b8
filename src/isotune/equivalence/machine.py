"""Describes the machine of a result."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from isotune.data.workers import usable_cpus


def describe_machine() -> dict[str, Any]:
    """Returns the processor's model, the number of usable CPUs, the memory and the system."""
    return {
        "cpu": cpu_model(),
        "cpus": usable_cpus(),
        "memory_gib": memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def cpu_model() -> str:
    """Returns the system's name of the processor's model."""
    with suppress(OSError):
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
        if match:
            return " ".join(match.group(1).split())
    return platform.processor() or platform.machine()


def memory_gib() -> float | None:
    """Returns the machine's memory in GiB, or None if it is unknown."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size / 2**30, 1)

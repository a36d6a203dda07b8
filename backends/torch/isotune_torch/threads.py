"""Number of threads that a process computes with on the CPU."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from isotune.data.workers import usable_cpus
from isotune_torch.torchrun import RUN

TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def cores() -> int:
    """Returns the number of physical cores that this process may use, as far as Linux tells them.

    PyTorch's own default is that number too.
    """
    with suppress(OSError, AttributeError):
        cpus = os.sched_getaffinity(0)
        return len({Path(TOPOLOGY.format(cpu)).read_text(encoding="ascii") for cpu in cpus})
    return usable_cpus()


def share(processes: int) -> int | None:
    """Returns the number of threads of each of several processes or shards on these cores.

    None leaves it to PyTorch, where the user has chosen it by ``OMP_NUM_THREADS``. Under torchrun,
    1 is no choice: it sets that itself where the variable is missing.
    """
    chosen = os.environ.get("OMP_NUM_THREADS")
    if chosen is None or (chosen == "1" and RUN in os.environ):
        return max(1, cores() // processes)
    return None

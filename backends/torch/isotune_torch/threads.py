"""Number of threads that a process computes with on the CPU."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import torch

from isotune.data.workers import usable_cpus
from isotune.interfaces.trainer import TrainingPlan
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


class CoresOfShard:
    """Context of a step: a shard's share of the cores, however many processes there are.

    With exact reduction that number changes no byte, but that of threads does: on 2 cores with
    torch 2.15, LeNet, MobileNetV2 and a small ViT come to other bytes with 1, 2 and 3 threads in
    training, and MobileNetV2 at 224 pixels in evaluation too.

    Attributes:
        own: Number of threads; None is PyTorch's.
    """

    def __init__(self, plan: TrainingPlan, device: torch.device) -> None:
        exact = plan.shards > 1 and plan.reduction == "exact" and device.type == "cpu"
        self.own = share(plan.shards) if exact else None

    def __enter__(self) -> None:
        """Sets the number of threads."""
        if self.own is not None:
            self._before = torch.get_num_threads()
            torch.set_num_threads(self.own)

    def __exit__(self, *_: object) -> None:
        """Sets what it was before."""
        if self.own is not None:
            torch.set_num_threads(self._before)

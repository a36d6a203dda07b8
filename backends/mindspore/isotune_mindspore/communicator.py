"""Communicator: MindSpore's own collectives, on values from the host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mindspore.communication as communication
import numpy as np
from mindspore import Tensor, ops
from numpy.typing import NDArray

from isotune.errors import LOST, LostProcessError
from isotune.interfaces.communicator import Communicator, Place
from isotune_mindspore.lost_peers import end_with_peers, waiting
from isotune_mindspore.step import pynative_mode

PATIENCE = 1800
"""Seconds that a collective on CPUs waits for the other processes: as long as in PyTorch. MindSpore
itself (2.10) gives up after 30, in which another process may well open a dataset."""

COLLECTIVES = ("AllGather", "AllReduce")
"""The operations that reach other processes; an error of MindSpore's names the one that failed."""


class MindSporeCommunicator(Communicator):
    """Reaches the processes that ``msrun`` has started.

    What it gathers are float32 numbers, whatever they mean: on CPUs (MindSpore 2.10) AllGather
    takes no integers. It copies them, so that all bits survive, also those of NaNs.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._all_gather = ops.AllGather()

    def gather(self, values: NDArray[Any]) -> NDArray[Any]:
        """Returns the values of all processes: shape (processes, \\*values.shape).

        Raises:
            LostProcessError: Another process has ended.
        """
        values = np.asarray(values)
        data = np.frombuffer(values.tobytes(), np.uint8)
        words = np.zeros(max(1, -(-data.size // 4)), np.float32)
        words.view(np.uint8)[: data.size] = data
        with pynative_mode(), peers_needed():
            gathered = self._all_gather(Tensor.from_numpy(words)).asnumpy()
        rows = gathered.reshape(self.place.processes, words.size).view(np.uint8)
        own = np.ascontiguousarray(rows[:, : data.size])
        return own.view(values.dtype).reshape(self.place.processes, *values.shape)

    def close(self) -> None:
        """Waits for all others, whose last collective would fail if this process ended in it."""
        self.gather(np.zeros(1, np.float32))


def meet(place: Place) -> MindSporeCommunicator:
    """Waits for the other processes, once the process has its device.

    Raises:
        LostProcessError: They do not come within ``msrun --cluster_time_out``.
    """
    os.environ.setdefault("MS_CPU_COMM_OP_TIMEOUT", str(PATIENCE))
    try:
        communication.init()
    except RuntimeError as error:
        raise LostProcessError(
            f"process {place.rank} does not reach the others of {place.processes}: start them all"
            f" with the same address and port ({_first_line(error)})."
        ) from error
    end_with_peers(os.environ)
    return MindSporeCommunicator(place)


@contextmanager
def peers_needed() -> Iterator[None]:
    """Context of operations that wait for other processes.

    Raises:
        LostProcessError: A collective has failed.
    """
    try:
        with waiting():
            yield
    except RuntimeError as error:
        if not any(name in str(error) for name in COLLECTIVES):
            raise
        raise LostProcessError(LOST) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__

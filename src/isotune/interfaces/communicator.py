"""Communicator: the processes that compute a run together, and what they tell each other.

The core decides what is divided and in which order it is added; a backend carries it, by the
collectives that its framework ships.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Place:
    """Which of several processes this one is, as a launcher says in the environment.

    Attributes:
        rank: Number of the process, from 0. Process 0 writes the run folder.
        processes: Number of processes.
        local_rank: Number of the process among those of its machine, from 0.
        local_processes: Number of processes of its machine.
        restarts: How often the launcher has started all processes anew after a failure.
        most_restarts: How often it would.
    """

    rank: int = 0
    processes: int = 1
    local_rank: int = 0
    local_processes: int = 1
    restarts: int = 0
    most_restarts: int = 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.processes == 1

    @property
    def leads(self) -> bool:
        """Whether the process writes the run folder, shows progress and calls observers."""
        return self.rank == 0


ALONE = Place()
"""The place of a process that is alone."""


class Communicator(ABC):
    """Carries values between processes, in which the same calls follow each other.

    Attributes:
        place: Which of the processes this one is.
    """

    place: Place

    @abstractmethod
    def gather(self, values: NDArray[Any]) -> NDArray[Any]:
        """Returns the values of all processes, on the host: shape (processes, \\*values.shape).

        Args:
            values: An array of the same shape and dtype in every process.

        Raises:
            LostProcessError: Another process has ended, or is not reached.
        """

    def broadcast(self, values: NDArray[Any]) -> NDArray[Any]:
        """Returns the values of process 0, on the host.

        Args:
            values: An array of the same shape and dtype in every process.

        Raises:
            LostProcessError: As :meth:`gather`.
        """
        return np.asarray(self.gather(values)[0])

    @abstractmethod
    def close(self) -> None:
        """Leaves the other processes, once all of them have come so far."""


class Alone(Communicator):
    """One process, which has nobody to talk to."""

    def __init__(self) -> None:
        self.place = Place()

    def gather(self, values: NDArray[Any]) -> NDArray[Any]:
        """Returns the values of this process: shape (1, \\*values.shape)."""
        return np.asarray(values)[None]

    def close(self) -> None:
        """Does nothing."""

"""Processes of a group that are threads, for tests that need no other process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.distributed.group import Group
from isotune.errors import LostProcessError
from isotune.hookspecs import hookimpl
from isotune.interfaces.backbone import BackboneEntry, Preprocessing
from isotune.interfaces.backend import Backend, BackendOffer
from isotune.interfaces.communicator import Communicator, Place
from isotune.plugins import Plugins
from numpy_backend.backbone import Net, NumpyBackbones, linear_layer
from numpy_backend.backend import NumpyBackend
from numpy_backend.layers import Activation, BatchNorm, Conv, Flatten
from numpy_backend.plugin import LINEAR, NumpyOffer


class Meeting:
    """Where threads put what they tell each other."""

    def __init__(self, processes: int) -> None:
        self.told: list[list[NDArray[Any]]] = [[] for _ in range(processes)]
        self.ended: set[int] = set()
        self.changed = threading.Condition()

    def tell(self, rank: int, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Returns what all tell as the same message of theirs."""
        with self.changed:
            self.told[rank].append(values)
            number = len(self.told[rank])
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: not self._missing(number) - self.ended, 60)
            if lost := self._missing(number):
                raise LostProcessError(f"process {min(lost)} has ended.")
            return [told[number - 1] for told in self.told]

    def end(self, rank: int) -> None:
        with self.changed:
            self.ended.add(rank)
            self.changed.notify_all()

    def _missing(self, number: int) -> set[int]:
        return {rank for rank, told in enumerate(self.told) if len(told) < number}


class Thread(Communicator):
    """A process of a group that is a thread."""

    def __init__(self, rank: int, meeting: Meeting) -> None:
        processes = len(meeting.told)
        self.place = Place(rank, processes, rank, processes)
        self._meeting = meeting

    def gather(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.stack(self._meeting.tell(self.place.rank, np.array(values)))

    def close(self) -> None:
        return


def in_threads(work: Callable[[Group], Any], processes: int = 3) -> list[Any]:
    """Returns what `work` returns or raises in each thread."""
    return with_communicators(lambda communicator: work(Group(communicator)), processes)


def with_communicators(work: Callable[[Communicator], Any], processes: int) -> list[Any]:
    """Returns what `work` returns or raises in each thread, given what reaches the others."""
    meeting, results = Meeting(processes), list[Any]([None] * processes)

    def run(rank: int) -> None:
        try:
            results[rank] = work(Thread(rank, meeting))
        except Exception as error:
            results[rank] = error
        finally:
            meeting.end(rank)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


SMALL = BackboneEntry(
    name="small", classifier="fc", preprocessing=Preprocessing(input_size=8, resize_size=8)
)
"""A backbone with a convolution, BatchNorm and two linear layers."""


class SmallBackbones(NumpyBackbones):
    """Builds it, too."""

    def names(self) -> tuple[str, ...]:
        return ("linear", "small")

    def build(self, entry: BackboneEntry) -> Net:
        if entry.name == "linear":
            return super().build(entry)
        return Net(
            conv=Conv(np.zeros((4, 3, 3, 3), np.float32), 1),
            bn=BatchNorm(4),
            relu=Activation("relu"),
            flatten=Flatten(),
            hidden=linear_layer(4 * 8 * 8, 8),
            tanh=Activation("tanh"),
            fc=linear_layer(8, 3),
        )


class ThreadsOffer(NumpyOffer):
    """The NumPy backend in a process that is a thread."""

    def __init__(self, communicator: Communicator) -> None:
        self.communicator = communicator

    def place(self) -> Place:
        return self.communicator.place

    def open(self, device: str) -> Backend:
        backend = NumpyBackend(device)
        backend.backbones = SmallBackbones()
        return backend

    def join(self, device: str, place: Place) -> Backend:
        backend = self.open(device)
        backend.communicator = self.communicator
        return backend


class ThreadsPlugin:
    """Offers it."""

    def __init__(self, communicator: Communicator) -> None:
        self.offer = ThreadsOffer(communicator)

    @hookimpl
    def isotune_backends(self) -> list[BackendOffer]:
        return [self.offer]

    @hookimpl
    def isotune_backbones(self) -> list[BackboneEntry]:
        return [LINEAR, SMALL]


def plugins_of(communicator: Communicator) -> Plugins:
    """Returns the plugins of a process that is a thread."""
    plugins = Plugins()
    plugins.register(ThreadsPlugin(communicator), "numpy")
    return plugins

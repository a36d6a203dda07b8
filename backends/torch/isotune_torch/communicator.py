"""Communicator: ``torch.distributed``, with gloo between hosts and the devices' own engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed
from torch.distributed import ProcessGroup

from isotune.errors import LOST, BackendError, LostProcessError
from isotune.interfaces.communicator import Communicator, Place
from isotune.interfaces.division import Division
from isotune_torch.network import choose_interface, local_address, watched_connections

ARRIVAL = timedelta(minutes=5)
"""How long processes that a launcher has started wait for each other to import PyTorch."""

SILENCE = timedelta(minutes=30)
"""How long a collective waits for the others, one of which may be reading a large dataset.

PyTorch's own default for gloo. A process that ends is noticed at once, since its connections close,
and a machine that is no longer reached after :data:`isotune_torch.network.LOST_SECONDS`.
"""

ENGINES = {"cuda": "nccl", "npu": "hccl"}
"""Backends of ``torch.distributed`` by kinds of devices; gloo serves all others."""

_joined = count()


class TorchCommunicator(Communicator):
    """Reaches the other processes by ``torch.distributed``.

    Attributes:
        place: Which of the processes this one is.
        devices: The process group for tensors on the devices; one of gloo, which also takes
            tensors on CUDA, where processes share a device.
    """

    def __init__(self, place: Place, device: torch.device) -> None:
        self.place = place
        with lost_processes(), watched_connections():
            self._host = _host_group(place)
        engine = self._engine(device)
        with lost_processes():
            self.devices = distributed.new_group(backend=engine) if engine else self._host
        self._engine_name = engine or "gloo"
        self._of_shards: dict[int, ProcessGroup] = {}

    def gather(self, values: NDArray[Any]) -> NDArray[Any]:
        """Returns the values of all processes: shape (processes, \\*values.shape).

        Raises:
            LostProcessError: Another process has ended, or is not reached.
        """
        values = np.asarray(values, order="C")
        everyone: NDArray[Any] = np.empty((self.place.processes, *values.shape), values.dtype)
        if values.nbytes:
            own = torch.from_numpy(values.reshape(-1).view(np.uint8).copy())
            rows = torch.from_numpy(everyone.reshape(-1).view(np.uint8))
            with lost_processes():
                distributed.all_gather([*rows.split(len(own))], own, group=self._host)
        return everyone

    def broadcast(self, values: NDArray[Any]) -> NDArray[Any]:
        """Returns the values of process 0.

        Raises:
            LostProcessError: As :meth:`gather`.
        """
        shared = np.array(values, order="C")
        if shared.nbytes:
            with lost_processes():
                data = torch.from_numpy(shared.reshape(-1).view(np.uint8))
                distributed.broadcast(data, src=0, group=self._host)
        return shared

    def of_shard(self, division: Division) -> ProcessGroup:
        """Returns the process group, for tensors on the devices, that computes a shard together.

        Raises:
            LostProcessError: Another process has ended, or is not reached.
        """
        if division.shards == 1:
            return self.devices
        if division.shards not in self._of_shards:
            ranks = np.arange(division.processes).reshape(division.shards, -1).tolist()
            with lost_processes():
                groups = [distributed.new_group(each, backend=self._engine_name) for each in ranks]
            self._of_shards[division.shards] = groups[division.shard(division.rank)]
        return self._of_shards[division.shards]

    def close(self) -> None:
        """Leaves the other processes, once all of them have come so far."""
        with lost_processes():
            distributed.barrier(self._host)
        for group in {self.devices, *self._of_shards.values()} - {self._host}:
            distributed.destroy_process_group(group)
        distributed.destroy_process_group(self._host)

    def _engine(self, device: torch.device) -> str | None:
        """Returns the engine of a group for the devices; None if the hosts' serves.

        Raises:
            BackendError: Processes compute on different kinds of devices.
        """
        kinds = sorted({bytes(kind).decode() for kind in self.gather(np.array(device.type, "S16"))})
        if len(kinds) > 1:
            raise BackendError(
                "the processes of a run compute on devices of one kind, but these would on"
                f" {' and '.join(kinds)}: name one by --device."
            )
        machine = self.place.rank - self.place.local_rank
        used = self.gather(np.array([machine, device.index or 0]))
        shared = len(np.unique(used, axis=0)) < len(used)
        return None if shared else ENGINES.get(device.type)


@contextmanager
def lost_processes(*, among_others: bool = False) -> Iterator[None]:
    """Raises LostProcessError for an error of ``torch.distributed``.

    Args:
        among_others: Whether the block may raise a RuntimeError for other reasons.

    Raises:
        LostProcessError: Another process has ended, or is not reached.
    """
    try:
        yield
    except RuntimeError as error:  # gloo's errors have no type of their own
        if among_others and not _is_of_engine(error):
            raise
        raise LostProcessError(LOST) from error


def _is_of_engine(error: RuntimeError) -> bool:
    named = any(engine in str(error) for engine in ("gloo", "NCCL", "HCCL"))
    return named or isinstance(error, distributed.DistError)


def _host_group(place: Place) -> ProcessGroup:
    """Returns a new group of all processes over gloo."""
    if distributed.is_initialized():  # by the script that calls Isotune
        return distributed.new_group(backend="gloo", timeout=SILENCE)
    store, _, _ = next(distributed.rendezvous("env://", timeout=ARRIVAL))
    # Keys outlive a group, whose addresses the next one must not read: torchrun keeps its store
    # when it starts all processes anew.
    store = distributed.PrefixStore(f"isotune/{place.restarts}/{next(_joined)}", store)
    ranks = [str(rank) for rank in range(place.processes)]
    own = local_address(os.environ["MASTER_ADDR"])
    store.set(str(place.rank), own)
    store.wait(ranks, ARRIVAL)
    if place.local_processes < place.processes:
        choose_interface([store.get(rank).decode() for rank in ranks], own)
    distributed.init_process_group(
        "gloo", store=store, rank=place.rank, world_size=place.processes, timeout=SILENCE
    )
    group = distributed.group.WORLD
    assert group is not None, "init_process_group has set it"
    return group

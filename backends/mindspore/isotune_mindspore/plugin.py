"""The plugin: offers the mindspore backend. Importing this file imports no framework."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isotune.errors import BackendError
from isotune.hookspecs import hookimpl
from isotune.interfaces.backend import BackendOffer, Launch
from isotune.interfaces.communicator import Place
from isotune.storage.memory import keep_freed_memory
from isotune_mindspore.launching import is_only_worker, is_scheduler, launch, read_place, serve

if TYPE_CHECKING:
    from isotune_mindspore.backend import MindSporeBackend


class MindSporeOffer(BackendOffer):
    """Describes the mindspore backend without importing MindSpore."""

    name = "mindspore"
    install = 'pip install "isotune[mindspore]"'
    exports = ("mindir", "onnx")

    def versions(self) -> Mapping[str, str]:
        """Imports MindSpore and returns versions by package.

        Raises:
            ImportError: MindSpore is not installed.
            BackendError: NumPy is one it cannot work with.
        """
        import mindspore

        if int(np.__version__.split(".")[0]) >= 2:
            # The wheel does not say so; its first operation ends in a SystemError.
            raise BackendError(
                f"MindSpore {mindspore.__version__} needs numpy<2, but NumPy {np.__version__} is"
                ' installed: pip install "numpy<2"'
            )
        return {"mindspore": str(mindspore.__version__), "numpy": np.__version__}

    def devices(self) -> list[str]:
        """Returns the usable devices, best first: ``ascend:N``, ``cpu``.

        Raises:
            ImportError: as :meth:`versions`.
        """
        self.versions()
        from isotune_mindspore.devices import usable_devices

        return usable_devices()

    def open(self, device: str) -> MindSporeBackend:
        """Returns the backend on `device`, one of :meth:`devices`.

        Raises:
            BackendError: MindSpore cannot use that device here, or uses another one already.
        """
        from isotune_mindspore.devices import use_device

        use_device(device)
        from isotune_mindspore.backend import MindSporeBackend

        if device == "cpu":
            keep_freed_memory()
        if is_only_worker(os.environ):
            from isotune_mindspore.communicator import meet

            meet(Place())  # or the scheduler would wait for it
        return MindSporeBackend(device)

    def place(self) -> Place:
        """Returns which process this one is, from what ``msrun`` has set.

        The scheduler of ``msrun`` runs the same program as the processes that compute: there, this
        brings those together, waits until they have ended, and ends the process.

        Raises:
            BackendError: What is set makes no sense.
            SystemExit: The process was the scheduler.
        """
        if is_scheduler(os.environ):
            serve()
        return read_place(os.environ)

    def launch(self, processes: int, arguments: Sequence[str], logs: Path) -> Launch:
        """Returns how ``msrun`` starts processes on this machine; see :mod:`.launching`."""
        return launch(processes, arguments, logs)

    def join(self, device: str, place: Place) -> MindSporeBackend:
        """Returns the backend on `device`, with a communicator that reaches the other processes.

        Raises:
            BackendError: As :meth:`open`.
            LostProcessError: The others do not come.
        """
        from isotune_mindspore.devices import share_threads, use_device

        use_device(device)
        share_threads(place.local_processes)
        from isotune_mindspore.communicator import meet

        communicator = meet(place)
        backend = self.open(device)
        backend.communicator = communicator
        return backend


@hookimpl
def isotune_backends() -> list[BackendOffer]:
    """Offers the mindspore backend."""
    return [MindSporeOffer()]

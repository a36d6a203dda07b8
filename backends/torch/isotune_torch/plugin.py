"""The plugin: offers the torch backend. Importing this file imports no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from isotune.errors import BackendError, nearest
from isotune.hookspecs import hookimpl
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import BackendOffer, Launch
from isotune.interfaces.communicator import Place
from isotune.storage.memory import keep_freed_memory
from isotune_torch import torchrun

if TYPE_CHECKING:
    from isotune_torch.backend import TorchBackend


def _timm_entry(model: str) -> BackboneEntry:
    try:
        from isotune_torch import timm_models
    except ImportError as error:
        raise BackendError(
            f"backbone 'timm:{model}' needs timm: pip install timm ({error})."
        ) from error
    return timm_models.entry(model)


class TorchOffer(BackendOffer):
    """Describes the torch backend without importing PyTorch."""

    name = "torch"
    install = 'pip install "isotune[torch]"'
    libraries = MappingProxyType({"timm": _timm_entry})
    exports = ("onnx",)

    def versions(self) -> Mapping[str, str]:
        """Imports PyTorch and returns versions by package.

        Those of torch_npu and timm are among them if they are installed.

        Raises:
            ImportError: torch or torchvision is not installed or does not import.
        """
        import torch

        from isotune_torch.devices import import_npu
        from isotune_torch.vision import torchvision

        versions = {"torch": str(torch.__version__), "torchvision": str(torchvision.__version__)}
        if npu := import_npu():
            versions["torch_npu"] = str(npu.__version__)
        with suppress(PackageNotFoundError):
            versions["timm"] = version("timm")
        return versions

    def devices(self) -> list[str]:
        """Returns the usable devices, best first: ``cuda:N``, ``npu:N``, ``mps``, ``cpu``.

        Raises:
            ImportError: as :meth:`versions`.
        """
        from isotune_torch.devices import usable_devices

        return usable_devices()

    def open(self, device: str) -> TorchBackend:
        """Returns the backend on `device`, one of :meth:`devices`.

        Raises:
            BackendError: PyTorch cannot use such a device here.
        """
        self._prepare(device)
        from isotune_torch.backend import TorchBackend

        return TorchBackend(device)

    def place(self) -> Place:
        """Returns which process this one is, as torchrun says in the environment.

        Raises:
            BackendError: A variable of torchrun is missing or wrong.
        """
        return torchrun.place()

    def launch(self, processes: int, arguments: Sequence[str], logs: Path) -> Launch:
        """Returns how torchrun starts processes on this machine; see :class:`BackendOffer`."""
        return torchrun.launch(processes, arguments, logs)

    def join(self, device: str, place: Place) -> TorchBackend:
        """Returns the backend on `device`, with a communicator that reaches the other processes.

        The process computes with its share of the machine's cores.

        Raises:
            BackendError: PyTorch cannot use such a device here, or others have another kind.
            LostProcessError: The other processes do not come.
        """
        self._prepare(device)
        import torch

        from isotune_torch import threads
        from isotune_torch.backend import TorchBackend
        from isotune_torch.communicator import TorchCommunicator

        if count := threads.share(place.local_processes):
            torch.set_num_threads(count)
        return TorchBackend(device, TorchCommunicator(place, torch.device(device)))

    def _prepare(self, device: str) -> None:
        usable = self.devices()
        if device not in usable:
            raise BackendError(
                f"torch cannot use device '{device}' here.{nearest(device, usable)}"
                f" Usable are: {', '.join(usable)}."
            )
        if device == "cpu":
            keep_freed_memory()


@hookimpl
def isotune_backends() -> list[BackendOffer]:
    """Offers the torch backend."""
    return [TorchOffer()]

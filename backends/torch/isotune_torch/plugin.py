"""The plugin: offers the torch backend. Importing this file imports no framework."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import TYPE_CHECKING

from isotune.errors import BackendError, nearest
from isotune.hookspecs import hookimpl
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import BackendOffer
from isotune.storage.memory import keep_freed_memory

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
        import torchvision

        from isotune_torch.devices import import_npu

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
        usable = self.devices()
        if device not in usable:
            raise BackendError(
                f"torch cannot use device '{device}' here.{nearest(device, usable)}"
                f" Usable are: {', '.join(usable)}."
            )
        from isotune_torch.backend import TorchBackend

        if device == "cpu":
            keep_freed_memory()
        return TorchBackend(device)


@hookimpl
def isotune_backends() -> list[BackendOffer]:
    """Offers the torch backend."""
    return [TorchOffer()]

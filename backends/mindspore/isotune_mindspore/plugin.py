"""The plugin: offers the mindspore backend. Importing this file imports no framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from isotune.hookspecs import hookimpl
from isotune.interfaces.backend import BackendOffer
from isotune.storage.memory import keep_freed_memory

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
            ImportError: MindSpore is not installed, or NumPy is one it cannot work with.
        """
        import mindspore

        if int(np.__version__.split(".")[0]) >= 2:
            # The wheel does not say so; its first operation ends in a SystemError.
            raise ImportError(
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
        return MindSporeBackend(device)


@hookimpl
def isotune_backends() -> list[BackendOffer]:
    """Offers the mindspore backend."""
    return [MindSporeOffer()]

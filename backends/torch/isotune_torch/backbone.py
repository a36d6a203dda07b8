"""Backbone: torchvision's own classes, and the two models that torchvision lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import nn

from isotune.errors import BackendError, nearest
from isotune.interfaces.backbone import Backbones
from isotune_torch.devices import memory_format
from isotune_torch.models.efficientnet_lite0 import EfficientNetLite0
from isotune_torch.models.lenet import LeNet5

TORCHVISION = (
    "alexnet",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
)
BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "efficientnet_lite0": EfficientNetLite0,
    "lenet": LeNet5,
    **{name: getattr(torchvision.models, name) for name in TORCHVISION},
}
"""Each is called without arguments; torchvision then downloads no weights."""


class TorchBackbones(Backbones):
    """Builds models on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def names(self) -> tuple[str, ...]:
        """Returns the names of :data:`BUILDERS`, sorted."""
        return tuple(sorted(BUILDERS))

    def build(self, name: str) -> nn.Module:
        """Builds backbone `name` on the device, in the device's best memory format, all zeros.

        PyTorch's global random state is left as it was.

        Raises:
            BackendError: there is no such backbone.
        """
        if name not in BUILDERS:
            raise BackendError(
                f"torch builds no backbone '{name}'.{nearest(name, BUILDERS)}"
                f" It builds: {', '.join(self.names())}."
            )
        # Without values: a VGG takes a second to draw them, and the core sets them anyway.
        with torch.device("meta"):
            model = BUILDERS[name]()
        model.to_empty(device=self._device)
        for tensor in model.state_dict().values():
            tensor.zero_()
        return model.to(memory_format=memory_format(self._device))

    def adopt(self, model: Any) -> nn.Module:
        """Moves somebody else's model to the device.

        Its memory format stays: code that uses ``view`` may rely on it.

        Raises:
            BackendError: `model` is no ``nn.Module``.
        """
        if not isinstance(model, nn.Module):
            raise BackendError(
                f"the torch backend needs a torch.nn.Module, not a {type(model).__name__}."
            )
        return model.to(self._device)

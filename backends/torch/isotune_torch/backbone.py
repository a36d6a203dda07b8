"""Backbone: torchvision's own classes, and the two models that torchvision lacks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from isotune.errors import BackendError, nearest
from isotune.interfaces.backbone import BackboneEntry, Backbones
from isotune_torch.devices import memory_format
from isotune_torch.models.efficientnet_lite0 import EfficientNetLite0
from isotune_torch.models.lenet import LeNet5
from isotune_torch.random_values import WithoutRandomValues
from isotune_torch.vision import torchvision

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    **{
        name: torchvision.models.get_model_builder(name)
        for name in torchvision.models.list_models(torchvision.models)
    },
    # By default these two draw their values slowly and warn about it.
    "googlenet": partial(torchvision.models.googlenet, init_weights=False),
    "inception_v3": partial(torchvision.models.inception_v3, init_weights=False),
    "efficientnet_lite0": EfficientNetLite0,
    "lenet": LeNet5,
}
"""Called without ``weights``, torchvision's download none."""


class TorchBackbones(Backbones):
    """Builds models on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def names(self) -> tuple[str, ...]:
        """Returns the names of :data:`BUILDERS`, sorted."""
        return tuple(sorted(BUILDERS))

    def builds(self, entry: BackboneEntry) -> bool:
        """Whether it is of :data:`BUILDERS` or of timm."""
        return entry.library == "timm" or entry.name in BUILDERS

    def build(self, entry: BackboneEntry) -> nn.Module:
        """Builds a backbone on the device, in the device's best memory format, all zeros.

        PyTorch's global random state stays as it was. timm's models keep their own memory format
        and have values of their own.

        Raises:
            BackendError: there is no such backbone.
        """
        if entry.library == "timm":
            from isotune_torch import timm_models

            return self.adopt(timm_models.build(entry.library_model))
        name = entry.name
        if name not in BUILDERS:
            raise BackendError(
                f"torch builds no backbone '{name}'.{nearest(name, BUILDERS)}"
                f" It builds: {', '.join(self.names())}."
            )
        size = entry.preprocessing.input_size
        sizes = {"image_size": size} if name.startswith("vit_") else {}
        with WithoutRandomValues(), torch.device(self._device):
            model = BUILDERS[name](**sizes)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        return model.to(memory_format=memory_format(self._device))

    def adopt(self, model: Any) -> nn.Module:
        """Moves a model that was built elsewhere to the device.

        Its memory format stays: code that uses ``view`` may rely on it.

        Raises:
            BackendError: `model` is not an ``nn.Module``.
        """
        if not isinstance(model, nn.Module):
            raise BackendError(
                f"the torch backend needs a torch.nn.Module, not a {type(model).__name__}."
            )
        return model.to(self._device)

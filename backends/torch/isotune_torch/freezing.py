"""Freezing: which parameters take gradients, and what frozen BatchNorm layers do."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from isotune.errors import BackendError, nearest
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.freezing import FreezePlan, Freezing
from isotune_torch.dropout import drops

COPIES = 2
"""Of the image whose values are counted: BatchNorm without running statistics refuses one."""


class TorchFreezing(Freezing):
    """Autograd itself ends the backward pass where nothing before takes gradients."""

    def apply(self, model: nn.Module, plan: FreezePlan) -> None:
        """Sets ``requires_grad`` of all parameters.

        Raises:
            BackendError: the plan names a parameter that the model does not have.
        """
        parameters = dict(model.named_parameters())
        if unknown := sorted(plan.frozen - parameters.keys()):
            raise BackendError(
                f"cannot freeze '{unknown[0]}': {type(model).__name__} has no such parameter."
                f"{nearest(unknown[0], parameters)}"
            )
        for name, parameter in parameters.items():
            parameter.requires_grad_(name not in plan.frozen)

    def training_mode(self, model: nn.Module, plan: FreezePlan) -> None:
        """Calls ``model.train()``, then ``eval()`` on the layers that the plan says."""
        model.train()
        if plan.batch_norm == "train":
            return
        parameters = [name for name, _ in model.named_parameters()]
        for path, module in model.named_modules():
            if isinstance(module, _BatchNorm):
                module.train(plan.trains_batch_norm(path, parameters))
            elif drops(module) and not plan.drops(path, parameters):
                module.eval()

    def values_per_channel(self, model: nn.Module, batch: DeviceBatch) -> dict[str, int]:
        """Returns how many values of a channel each BatchNorm layer gets from one image.

        Found by a forward pass, in which BatchNorm and dropout are in evaluation mode.
        """
        found: dict[str, int] = {}

        def observer(path: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            def observe(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                values = inputs[0].numel() // inputs[0].shape[1] // COPIES
                found[path] = min(found.get(path, values), values)

            return observe

        modes = [(module, module.training) for module in model.modules()]
        handles = []
        model.train()
        for path, module in model.named_modules():
            if isinstance(module, _BatchNorm):
                handles.append(module.register_forward_pre_hook(observer(path)))
            if isinstance(module, _BatchNorm) or drops(module):
                module.eval()
        try:
            with torch.no_grad():
                model(torch.cat([batch.images] * COPIES))
        finally:
            for handle in handles:
                handle.remove()
            for module, mode in modes:
                module.training = mode
        return found

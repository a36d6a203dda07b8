"""Freezing: which parameters take gradients, and what frozen BatchNorm layers do."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from isotune.errors import BackendError, nearest
from isotune.interfaces.freezing import FreezePlan, Freezing
from isotune_torch.dropout import drops


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
        """Calls ``model.train()``, then ``eval()`` on the layers that the plan says.

        A BatchNorm layer without parameters is never frozen.
        """
        model.train()
        if plan.batch_norm == "train":
            return
        parameters = [name for name, _ in model.named_parameters()]
        for path, module in model.named_modules():
            if isinstance(module, _BatchNorm):
                names = {f"{path}.{name}" for name, _ in module.named_parameters()}
                if names and names <= plan.frozen:
                    module.eval()
            elif drops(module) and not plan.drops(path, parameters):
                module.eval()

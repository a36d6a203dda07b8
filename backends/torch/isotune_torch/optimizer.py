"""PyTorch's optimizers, by the spec's description and with the state they go on from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from isotune.spec.optimizer import AdamWSpec, OptimizerSpec, SGDSpec
from isotune_torch.devices import has_fused_optimizers

Slots = dict[str, Tensor]
"""A parameter's state by PyTorch's slot names."""


def slot_names(spec: OptimizerSpec) -> tuple[str, ...]:
    """Returns which slots every parameter has after a step."""
    if isinstance(spec, SGDSpec):
        return ("momentum_buffer",) if spec.momentum else ()
    return ("exp_avg", "exp_avg_sq", "step")


def make_optimizer(
    spec: OptimizerSpec,
    parameters: Sequence[nn.Parameter],
    slots: Mapping[nn.Parameter, Slots],
) -> torch.optim.Optimizer:
    """Returns the optimizer of `spec` for `parameters`, all on one device.

    Args:
        spec: its constants; the learning rate is to be set before each step.
        parameters: at least one.
        slots: where to go on from; a parameter that is not among them starts anew.
    """
    started = [parameter for parameter in parameters if parameter in slots]
    fresh = [parameter for parameter in parameters if parameter not in slots]
    # Apart, since fused SGD makes the momentum buffers of a whole group or none.
    groups = [{"params": group} for group in (started, fresh) if group]
    optimizer = _optimizer(spec, groups, fused=has_fused_optimizers(parameters[0].device))
    for parameter in started:
        optimizer.state[parameter] = slots[parameter]
    return optimizer


def new_slot(parameter: nn.Parameter, slot: str, value: Tensor) -> Tensor:
    """Returns `value` where and how the optimizer would have made that slot itself."""
    if slot != "step":
        # Fused kernels walk memory, so that a slot must have the strides of its parameter.
        return torch.empty_like(parameter, requires_grad=False).copy_(value)
    fused = has_fused_optimizers(parameter.device)
    return value.to(parameter.device if fused else "cpu", torch.float32, copy=True)


def _optimizer(
    spec: OptimizerSpec, groups: list[dict[str, list[Any]]], fused: bool
) -> torch.optim.Optimizer:
    # None leaves the choice to PyTorch; False would rule out its other fast kernels.
    kernels = {"fused": True if fused else None, "weight_decay": spec.weight_decay}
    if isinstance(spec, SGDSpec):
        momentum = {"momentum": spec.momentum, "nesterov": spec.nesterov}
        return torch.optim.SGD(groups, lr=spec.lr, **momentum, **kernels)
    kind = torch.optim.AdamW if isinstance(spec, AdamWSpec) else torch.optim.Adam
    return kind(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, **kernels)

"""PyTorch's optimizers, made from a spec and the state to continue from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import assert_never

from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, SGDSpec
from isotune_torch.devices import has_fused_optimizers


class _Eager:
    """PyTorch's own methods of an optimizer, without the decorators that import its compiler.

    They tell ``torch.compile`` not to compile them, which nobody asks for here, and importing
    ``torch._dynamo`` takes a second. What remains of them is :meth:`step` without gradients.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class SGD(_Eager, torch.optim.SGD):
    """PyTorch's SGD."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class Adam(_Eager, torch.optim.Adam):
    """PyTorch's Adam."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class AdamW(_Eager, torch.optim.AdamW):
    """PyTorch's AdamW."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


Slots = dict[str, Tensor]
"""A parameter's state by PyTorch's slot names."""


def make_optimizer(
    plan: TrainingPlan,
    parameters: Mapping[str, nn.Parameter],
    slots: Mapping[nn.Parameter, Slots],
) -> torch.optim.Optimizer:
    """Returns the plan's optimizer for `parameters`, all on one device.

    Before each step, the learning rate of each group must be set to the step's times the group's
    ``lr_scale``, and its :func:`momentum_options` to those of the step.

    Args:
        plan: The optimizer, the learning-rate scales and which parameters have no weight decay.
        parameters: At least one parameter, by canonical name.
        slots: State to continue from; a parameter without an entry starts from zero.
    """
    slots = {**_first_slots(plan, parameters), **slots}
    members: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        # Parameters with state are in groups of their own, since fused SGD creates the momentum
        # buffers of a whole group or none.
        decay = plan.weight_decay(parameter.shape)
        key = (parameter not in slots, plan.lr_scale(name), decay)
        members.setdefault(key, []).append(parameter)
    groups = [
        {"params": group, "lr_scale": scale, "weight_decay": decay}
        for (_, scale, decay), group in sorted(members.items(), key=lambda item: item[0])
    ]
    first = next(iter(parameters.values()))
    optimizer = _optimizer(plan.optimizer, groups, fused=has_fused_optimizers(first.device))
    for parameter in parameters.values():
        if parameter in slots:
            optimizer.state[parameter] = slots[parameter]
    return optimizer


def momentum_options(spec: OptimizerSpec, momentum: float | None) -> dict[str, Any]:
    """Returns the options of a parameter group for a step's momentum; None is the spec's own."""
    match spec:
        case SGDSpec():
            return {"momentum": spec.momentum if momentum is None else momentum}
        case AdamSpec() | AdamWSpec():
            beta1, beta2 = spec.betas
            return {"betas": (beta1 if momentum is None else momentum, beta2)}
        case _:
            assert_never(spec)


def new_slot(parameter: nn.Parameter, value: Tensor, scalar: bool) -> Tensor:
    """Returns a slot's `value` where and how the optimizer would have made the slot itself."""
    if not scalar:
        # Fused kernels walk memory, so that a slot must have the strides of its parameter.
        return torch.empty_like(parameter, requires_grad=False).copy_(value)
    fused = has_fused_optimizers(parameter.device)
    return value.to(parameter.device if fused else "cpu", torch.float32, copy=True)


def _first_slots(
    plan: TrainingPlan, parameters: Mapping[str, nn.Parameter]
) -> dict[nn.Parameter, Slots]:
    """Returns the slots that must be there before the first step, which are zero.

    Fused SGD makes momentum buffers in its first step, and does not fill them where that step is
    skipped because float16 gradients overflow: later ones would go on from whatever is in memory.
    """
    spec = plan.optimizer
    if plan.precision != "fp16" or not isinstance(spec, SGDSpec):
        return {}
    return {
        parameter: {slot: torch.zeros_like(parameter, requires_grad=False) for slot in spec.slots}
        for parameter in parameters.values()
    }


def _optimizer(
    spec: OptimizerSpec, groups: list[dict[str, Any]], fused: bool
) -> torch.optim.Optimizer:
    # None leaves the choice to PyTorch; False would rule out its other fast kernels.
    kernels = {"fused": True if fused else None, "weight_decay": spec.weight_decay}
    match spec:
        case SGDSpec():
            momentum = {"momentum": spec.momentum, "nesterov": spec.nesterov}
            return SGD(groups, lr=spec.lr, **momentum, **kernels)
        case AdamSpec():
            return Adam(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, **kernels)
        case AdamWSpec():
            return AdamW(groups, lr=spec.lr, betas=spec.betas, eps=spec.eps, **kernels)
        case _:
            assert_never(spec)

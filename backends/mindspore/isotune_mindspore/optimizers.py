"""Update rules with PyTorch's semantics, as cells that run inside a compiled step.

MindSpore's own optimizers place Adam's epsilon elsewhere, decay AdamW's weights differently and
get Nesterov's momentum wrong (2.10). These cells use its fused primitives instead.
The formulas are those of docs.pytorch.org: SGD, Adam and AdamW.

They map over the parameters: a compiled loop nests the calls of its iterations, and MindSpore's
limit of 1,000 is too low for the momentum of ResNet-101. It also compiles 1.5 times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from numpy.typing import NDArray
from typing_extensions import assert_never

from isotune.interfaces.trainer import StepPlan
from isotune.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, SGDSpec

Slots = Mapping[str, Parameter]
"""State of one parameter, by PyTorch's name of the slot."""


class GroupKey(NamedTuple):
    """What the parameters of a group share.

    Attributes:
        updates: Number of their earlier updates, if it matters.
        lr_scale: Their learning-rate scale.
        weight_decay: Their weight decay.
    """

    updates: int
    lr_scale: float
    weight_decay: float


Groups = Mapping[GroupKey, Sequence[int]]
"""Indices of the parameters of each group."""


def group_of_each(groups: Groups) -> tuple[int, ...]:
    """Returns the number of each parameter's group."""
    places = {i: number for number, group in enumerate(groups.values()) for i in group}
    return tuple(places[i] for i in range(len(places)))


class PlainSGD(nn.Cell):
    """``p -= lr * (g + decay * p)``. `scalars`: lr for each group."""

    def __init__(self, parameters: Sequence[Parameter], groups: Groups) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.groups = group_of_each(groups)
        self.decays = tuple(key.weight_decay for key in groups)
        self.map, self.partial = ops.HyperMap(), ops.Partial()
        self.assign_sub = ops.AssignSub()

    def construct(self, gradients: tuple[Tensor, ...], scalars: tuple[Tensor, ...]) -> None:
        """Updates all parameters."""
        update = self.partial(self.update, scalars)
        self.map(update, self.groups, self.parameters, gradients)

    def update(
        self, scalars: tuple[Tensor, ...], group: int, parameter: Parameter, gradient: Tensor
    ) -> None:
        """Updates one parameter."""
        if self.decays[group]:
            gradient = gradient + parameter * self.decays[group]
        self.assign_sub(parameter, gradient * scalars[group])


class MomentumSGD(nn.Cell):
    """``b = momentum * b + g; p -= lr * b``, or ``lr * (g + momentum * b)`` (Nesterov).

    PyTorch's first step sets ``b = g``: the same, since `b` starts from zero and PyTorch's
    dampening is zero. `scalars`: the momentum, then lr for each group.
    """

    def __init__(
        self,
        spec: SGDSpec,
        parameters: Sequence[Parameter],
        slots: Sequence[Slots],
        groups: Groups,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.groups = group_of_each(groups)
        self.buffers = ParameterTuple([slot["momentum_buffer"] for slot in slots])
        self.nesterov = spec.nesterov
        self.decays = tuple(key.weight_decay for key in groups)
        self.map, self.partial = ops.HyperMap(), ops.Partial()
        self.apply_momentum = ops.ApplyMomentum()
        self.assign, self.assign_sub = ops.Assign(), ops.AssignSub()

    def construct(self, gradients: tuple[Tensor, ...], scalars: tuple[Tensor, ...]) -> None:
        """Updates all parameters and their buffers."""
        update = self.partial(self.update, scalars)
        self.map(update, self.groups, self.parameters, self.buffers, gradients)

    def update(
        self,
        scalars: tuple[Tensor, ...],
        group: int,
        parameter: Parameter,
        buffer: Parameter,
        gradient: Tensor,
    ) -> None:
        """Updates one parameter and its buffer."""
        momentum, rate = scalars[0], scalars[1 + group]
        if self.decays[group]:
            gradient = gradient + parameter * self.decays[group]
        if self.nesterov:
            # Written out: ApplyMomentum(use_nesterov=True) is not Nesterov's on CPUs.
            moved = buffer * momentum + gradient
            self.assign(buffer, moved)
            self.assign_sub(parameter, (gradient + moved * momentum) * rate)
        else:
            self.apply_momentum(parameter, buffer, rate, gradient, momentum)


class Adam(nn.Cell):
    """Adam and AdamW.

    The primitive computes ``p -= lr' * m / (sqrt(v) + eps')`` when its powers of beta are zero.
    With ``lr' = lr * c / (1 - beta1**t)``, ``eps' = eps * c`` and ``c = sqrt(1 - beta2**t)``
    that is PyTorch's ``lr * m_hat / (sqrt(v_hat) + eps)``. `scalars`: beta1, then
    (lr', eps', 1 - lr * decay) for each group.
    """

    def __init__(
        self,
        spec: AdamSpec | AdamWSpec,
        parameters: Sequence[Parameter],
        slots: Sequence[Slots],
        groups: Groups,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.means = ParameterTuple([slot["exp_avg"] for slot in slots])
        self.squares = ParameterTuple([slot["exp_avg_sq"] for slot in slots])
        self.groups = group_of_each(groups)
        self.beta2 = spec.betas[1]
        self.decoupled = isinstance(spec, AdamWSpec)
        self.decays = tuple(key.weight_decay for key in groups)
        self.map, self.partial = ops.HyperMap(), ops.Partial()
        self.adam = ops.Adam()
        self.assign = ops.Assign()

    def construct(self, gradients: tuple[Tensor, ...], scalars: tuple[Tensor, ...]) -> None:
        """Updates all parameters and their averages."""
        update = self.partial(self.update, scalars)
        self.map(update, self.groups, self.parameters, self.means, self.squares, gradients)

    def update(
        self,
        scalars: tuple[Tensor, ...],
        group: int,
        parameter: Parameter,
        mean: Parameter,
        square: Parameter,
        gradient: Tensor,
    ) -> None:
        """Updates one parameter and its averages."""
        beta1, first = scalars[0], 1 + 3 * group
        rate, epsilon, shrink = scalars[first], scalars[first + 1], scalars[first + 2]
        if self.decays[group] and self.decoupled:
            self.assign(parameter, parameter * shrink)
        elif self.decays[group]:
            gradient = gradient + parameter * self.decays[group]
        self.adam(parameter, mean, square, 0.0, 0.0, rate, beta1, self.beta2, epsilon, gradient)


def update_rule(
    spec: OptimizerSpec,
    parameters: Sequence[Parameter],
    slots: Sequence[Slots],
    groups: Groups,
) -> nn.Cell:
    """Returns the cell that updates `parameters` from their gradients and :func:`scalars`."""
    match spec:
        case SGDSpec(momentum=0):
            return PlainSGD(parameters, groups)
        case SGDSpec():
            return MomentumSGD(spec, parameters, slots, groups)
        case AdamSpec() | AdamWSpec():
            return Adam(spec, parameters, slots, groups)
        case _:
            assert_never(spec)


def scalars(spec: OptimizerSpec, plan: StepPlan, keys: Iterable[GroupKey]) -> NDArray[np.float32]:
    """Returns the scalars that the cell takes at each step, computed in float64.

    Args:
        spec: The optimizer.
        plan: The step.
        keys: Keys of the groups.
    """
    match spec:
        case SGDSpec():
            momentum = spec.momentum if plan.momentum is None else plan.momentum
            rates = [plan.learning_rate * key.lr_scale for key in keys]
            values = [momentum, *rates] if spec.momentum else rates
        case AdamSpec() | AdamWSpec():
            beta1 = spec.betas[0] if plan.momentum is None else plan.momentum
            values = [beta1]
            for key in keys:
                values += _adam(spec, beta1, plan.learning_rate * key.lr_scale, key)
        case _:
            assert_never(spec)
    return np.array(values, dtype=np.float32)


def _adam(
    spec: AdamSpec | AdamWSpec, beta1: float, rate: float, key: GroupKey
) -> tuple[float, float, float]:
    # The primitive averages with float32 betas, and 1 - float32(0.999) is 1.3e-5 off 0.001: only
    # with the same ones do the corrections cancel.
    beta1, beta2 = (float(np.float32(beta)) for beta in (beta1, spec.betas[1]))
    t = key.updates + 1
    correction = (1 - beta2**t) ** 0.5
    step_size = rate * correction / (1 - beta1**t)
    return step_size, spec.eps * correction, 1 - rate * key.weight_decay

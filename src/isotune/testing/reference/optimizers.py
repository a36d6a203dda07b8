"""The update rules, as the pages of ``torch.optim`` write them."""

from __future__ import annotations

import numpy as np
from typing_extensions import assert_never

from isotune.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, SGDSpec
from isotune.testing.reference.layers import Array

Slots = dict[str, Array]


def updated(
    spec: OptimizerSpec, theta: Array, gradient: Array, slots: Slots, rate: float
) -> tuple[Array, Slots]:
    """Returns the new parameter and the new slots; empty `slots` are those of the first step."""
    match spec:
        case SGDSpec():
            return sgd(spec, theta, gradient, slots, rate)
        case AdamSpec():
            return adam(spec, theta, gradient + spec.weight_decay * theta, slots, rate)
        case AdamWSpec():
            return adam(spec, theta - rate * spec.weight_decay * theta, gradient, slots, rate)
        case _:
            assert_never(spec)


def rule(spec: OptimizerSpec, theta: Array, momentum: float | None) -> OptimizerSpec:
    """Returns what updates a parameter in a step.

    `momentum`, unless it is None, takes the place of the spec's momentum or first beta. A parameter
    of one dimension has no weight decay if `no_decay` says so.
    """
    if spec.no_decay == "norms_and_biases" and theta.ndim < 2:
        spec = spec.model_copy(update={"weight_decay": 0.0})
    if momentum is None:
        return spec
    if isinstance(spec, SGDSpec):
        return spec.model_copy(update={"momentum": momentum})
    return spec.model_copy(update={"betas": (momentum, spec.betas[1])})


def sgd(
    spec: SGDSpec, theta: Array, gradient: Array, slots: Slots, rate: float
) -> tuple[Array, Slots]:
    """SGD with undampened momentum: https://pytorch.org/docs/stable/generated/torch.optim.SGD."""
    g = gradient + spec.weight_decay * theta
    if spec.momentum == 0:
        return theta - rate * g, {}
    b = spec.momentum * slots["momentum_buffer"] + g if slots else g
    direction = g + spec.momentum * b if spec.nesterov else b
    return theta - rate * direction, {"momentum_buffer": b}


def adam(
    spec: AdamSpec | AdamWSpec, theta: Array, gradient: Array, slots: Slots, rate: float
) -> tuple[Array, Slots]:
    """Adam, after its weight decay (Kingma and Ba, 2014, algorithm 1)."""
    beta1, beta2 = spec.betas
    t = slots.get("step", np.zeros(())) + 1
    m = beta1 * slots.get("exp_avg", np.zeros_like(theta)) + (1 - beta1) * gradient
    v = beta2 * slots.get("exp_avg_sq", np.zeros_like(theta)) + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    theta = theta - rate * m_hat / (np.sqrt(v_hat) + spec.eps)
    return theta, {"exp_avg": m, "exp_avg_sq": v, "step": t}

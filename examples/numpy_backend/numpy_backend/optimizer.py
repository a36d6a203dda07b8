"""The update rules of PyTorch's SGD, Adam and AdamW, in place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from typing_extensions import assert_never

from isotune.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, SGDSpec
from numpy_backend.layers import Array

Slots = dict[str, Array]
"""The optimizer's state of one parameter."""


def new_slots(spec: OptimizerSpec, parameter: Array) -> Slots:
    """Returns the optimizer's state of one parameter before its first update."""
    shapes = spec.slot_shapes(parameter.shape)
    return {slot: np.zeros(shape, np.float32) for slot, shape in shapes.items()}


def clip(gradients: Sequence[Array], largest: float) -> np.float32:
    """Scales gradients in place to a norm of `largest` at most; returns their norm before."""
    norm = math.sqrt(sum(float((each**2).sum()) for each in gradients))
    for each in gradients:
        each *= np.float32(min(1.0, largest / (norm + 1e-6)))
    return np.float32(norm)


def move(
    spec: OptimizerSpec,
    parameter: Array,
    gradient: Array,
    slots: Slots,
    learning_rate: float,
    weight_decay: float,
    momentum: float | None = None,
) -> None:
    """Makes one update, in place; `momentum` is the update's, or None for the spec's own."""
    rate, decay = np.float32(learning_rate), np.float32(weight_decay)
    match spec:
        case SGDSpec():
            gradient = gradient + decay * parameter
            parameter -= rate * sgd_direction(spec, gradient, slots, momentum)
        case AdamSpec():
            gradient = gradient + decay * parameter
            parameter -= rate * adam_direction(spec, gradient, slots, momentum)
        case AdamWSpec():
            parameter *= 1 - rate * decay
            parameter -= rate * adam_direction(spec, gradient, slots, momentum)
        case _:
            assert_never(spec)


def sgd_direction(
    spec: SGDSpec, gradient: Array, slots: Slots, momentum: float | None = None
) -> Array:
    """Returns what ``torch.optim.SGD`` multiplies by the learning rate."""
    if not spec.momentum:
        return gradient
    factor = np.float32(spec.momentum if momentum is None else momentum)
    velocity = slots["momentum_buffer"]
    velocity *= factor
    velocity += gradient
    return gradient + factor * velocity if spec.nesterov else velocity


def adam_direction(
    spec: AdamSpec | AdamWSpec, gradient: Array, slots: Slots, momentum: float | None = None
) -> Array:
    """Returns what ``torch.optim.Adam`` multiplies by the learning rate."""
    beta1, beta2 = spec.betas
    beta1 = beta1 if momentum is None else momentum
    slots["step"] += 1
    slots["exp_avg"] += np.float32(1 - beta1) * (gradient - slots["exp_avg"])
    slots["exp_avg_sq"] += np.float32(1 - beta2) * (gradient**2 - slots["exp_avg_sq"])
    step = float(slots["step"])
    root = np.sqrt(slots["exp_avg_sq"] / np.float32(1 - beta2**step)) + np.float32(spec.eps)
    direction: Array = slots["exp_avg"] / np.float32(1 - beta1**step) / root
    return direction

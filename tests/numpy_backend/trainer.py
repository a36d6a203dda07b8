"""Trainer: one step of each kind; PyTorch's loss and update rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_never

from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import HostOutputs, Outputs, StepPlan, Trainer, TrainingPlan
from isotune.spec.optimizer import AdamSpec, AdamWSpec, OptimizerSpec, SGDSpec
from numpy_backend.backbone import Array, LinearNet
from numpy_backend.freezing import NumpyFreezing

Slots = dict[str, Array]


class NumpyTrainer(Trainer):
    """Keeps the optimizer's slots by parameter name; a parameter without any starts from zero."""

    def __init__(self, model: LinearNet, plan: TrainingPlan) -> None:
        self.model = model
        self.plan = plan
        self.slots: dict[str, Slots] = {}
        self.sums: dict[str, Array] = {}
        self.freeze(FreezePlan())

    def freeze(self, plan: FreezePlan) -> None:
        NumpyFreezing().apply(self.model, plan)
        self.slots = {name: s for name, s in self.slots.items() if name not in plan.frozen}

    def train_step(self, batch: DeviceBatch, plan: StepPlan) -> Outputs:
        logits = self.model(batch.images)
        loss, logits_gradient = LOSSES[self.plan.loss](logits, batch.labels, self.plan)
        gradients = self.model.gradients(
            batch.images, logits_gradient * np.float32(plan.loss_scale)
        )
        for name, gradient in gradients.items():
            self.sums[name] = self.sums.get(name, np.float32(0)) + gradient
        if plan.apply_update:
            self._update(plan.learning_rate)
        return Outputs(logits, loss)

    def _update(self, learning_rate: float) -> None:
        for name, parameter in self.model.parameters().items():
            if name not in self.model.frozen:
                slots = self.slots.setdefault(name, new_slots(self.plan.optimizer, parameter))
                rate = learning_rate * self.plan.lr_scale(name)
                move(self.plan.optimizer, parameter, self.sums[name], slots, rate)
        self.sums = {}

    def eval_step(self, batch: DeviceBatch) -> Outputs:
        return Outputs(self.model(batch.images))

    def fetch(self, outputs: Sequence[Outputs]) -> list[HostOutputs]:
        return [
            HostOutputs(o.logits, float("nan") if o.loss is None else float(o.loss))
            for o in outputs
        ]


def cross_entropy(
    logits: Array, labels: NDArray[np.int32], plan: TrainingPlan
) -> tuple[np.float32, Array]:
    """Returns PyTorch's ``CrossEntropyLoss`` and its gradient with respect to the logits."""
    classes = logits.shape[1]
    weights = np.ones(classes, np.float32) if plan.class_weights is None else plan.class_weights
    targets = np.eye(classes, dtype=np.float32)[labels] * (1 - plan.label_smoothing)
    targets = (targets + plan.label_smoothing / classes) * weights / weights[labels].sum()
    shifted = logits - logits.max(1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    gradient = np.exp(log_probabilities) * targets.sum(1, keepdims=True) - targets
    return -(targets * log_probabilities).sum(), gradient.astype(np.float32)


def binary_cross_entropy(
    logits: Array, labels: NDArray[np.int32], plan: TrainingPlan
) -> tuple[np.float32, Array]:
    """Returns the mean of PyTorch's ``BCEWithLogitsLoss`` and its gradient."""
    outputs = logits.shape[1]
    classes = max(outputs, 2)
    weights = np.ones(classes, np.float32) if plan.class_weights is None else plan.class_weights
    targets = np.eye(classes, dtype=np.float32)[labels][:, -outputs:] * (1 - plan.label_smoothing)
    targets += plan.label_smoothing / classes
    share = weights[labels][:, None] / weights[labels].sum() / outputs
    losses = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    gradient = (1 / (1 + np.exp(-logits.astype(np.float64))) - targets) * share
    return (losses * share).sum(), gradient.astype(np.float32)


LOSSES = {"cross_entropy": cross_entropy, "binary_cross_entropy": binary_cross_entropy}


def new_slots(spec: OptimizerSpec, parameter: Array) -> Slots:
    """Returns the optimizer's state of one parameter before its first update."""
    shapes = spec.slot_shapes(parameter.shape)
    return {slot: np.zeros(shape, np.float32) for slot, shape in shapes.items()}


def move(
    spec: OptimizerSpec, parameter: Array, gradient: Array, slots: Slots, learning_rate: float
) -> None:
    """Makes one update, in place."""
    rate, decay = np.float32(learning_rate), np.float32(spec.weight_decay)
    match spec:
        case SGDSpec():
            parameter -= rate * sgd_direction(spec, gradient + decay * parameter, slots)
        case AdamSpec():
            parameter -= rate * adam_direction(spec, gradient + decay * parameter, slots)
        case AdamWSpec():
            parameter *= 1 - rate * decay
            parameter -= rate * adam_direction(spec, gradient, slots)
        case _:
            assert_never(spec)


def sgd_direction(spec: SGDSpec, gradient: Array, slots: Slots) -> Array:
    """Returns what ``torch.optim.SGD`` multiplies by the learning rate."""
    if not spec.momentum:
        return gradient
    momentum, velocity = np.float32(spec.momentum), slots["momentum_buffer"]
    velocity *= momentum
    velocity += gradient
    return gradient + momentum * velocity if spec.nesterov else velocity


def adam_direction(spec: AdamSpec | AdamWSpec, gradient: Array, slots: Slots) -> Array:
    """Returns what ``torch.optim.Adam`` multiplies by the learning rate."""
    beta1, beta2 = spec.betas
    slots["step"] += 1
    slots["exp_avg"] += np.float32(1 - beta1) * (gradient - slots["exp_avg"])
    slots["exp_avg_sq"] += np.float32(1 - beta2) * (gradient**2 - slots["exp_avg_sq"])
    step = float(slots["step"])
    root = np.sqrt(slots["exp_avg_sq"] / np.float32(1 - beta2**step)) + np.float32(spec.eps)
    direction: Array = slots["exp_avg"] / np.float32(1 - beta1**step) / root
    return direction

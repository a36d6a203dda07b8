"""Trainer: one step of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from isotune.interfaces.communicator import Communicator
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.division import Part
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import HostOutputs, Outputs, StepPlan, Trainer, TrainingPlan
from isotune.training.dropout import layer_seed
from isotune.training.single_images import check_single_image
from numpy_backend.backbone import Net
from numpy_backend.freezing import NumpyFreezing
from numpy_backend.layers import Array, Dropout
from numpy_backend.loss import LOSSES
from numpy_backend.optimizer import Slots, clip, move, new_slots
from numpy_backend.shards import Gradients, Statistics

WHOLE = Part(0, 0, 0, 0, 0, ())
"""Stands for a batch that is not divided, whose first image is the first of the only shard."""


class NumpyTrainer(Trainer):
    """Keeps the optimizer's slots by parameter name; a parameter without any starts from zero."""

    def __init__(self, model: Net, plan: TrainingPlan, communicator: Communicator) -> None:
        self.model = model
        self.plan = plan
        self.shared = communicator.place.processes > plan.shards
        self.freezing = NumpyFreezing()
        self.slots: dict[str, Slots] = {}
        self.gradients = Gradients(model, communicator)
        self.statistics = Statistics(model, communicator)
        self.averages: dict[str, Array] = {}
        self.freeze(FreezePlan())

    def freeze(self, plan: FreezePlan) -> None:
        self.freezing.apply(self.model, plan)
        self.freeze_plan = plan
        self.slots = {name: s for name, s in self.slots.items() if name not in plan.frozen}

    def train_step(self, batch: DeviceBatch, plan: StepPlan) -> Outputs:
        if batch.size == 1 and not self.shared:
            names = self.model.parameters()
            check_single_image(self.freezing, self.model, self.freeze_plan, batch, names)
        self.start_averages()
        self.freezing.training_mode(self.model, self.freeze_plan)
        part = plan.part
        if part is None:
            outputs = self._learn(batch, plan)
        else:
            outputs = Outputs(np.empty((0, 0), np.float32), np.float32(0))
            with self.statistics.of_one_shard(self.shared):
                if batch.size:
                    outputs = self._learn(batch, plan, part)
                else:
                    self.gradients.add({}, part.index)
            if part.last:
                self.statistics.end_batch(part)
        norm = self._update(plan) if plan.apply_update else None
        if plan.average_decay is not None:
            self._average(np.float32(1 - plan.average_decay))
        return replace(outputs, grad_norm=norm)

    def _learn(self, batch: DeviceBatch, plan: StepPlan, part: Part = WHOLE) -> Outputs:
        seed_dropout(self.model, self.plan.seed, plan.step, part)
        logits = self.model(batch.images)
        loss, gradient = LOSSES[self.plan.loss](logits, batch.labels, self.plan)
        _, gradients = self.model.backward(gradient * np.float32(plan.loss_scale))
        self.gradients.add(gradients, part.index)
        return Outputs(logits, loss)

    def _update(self, plan: StepPlan) -> np.float32 | None:
        parameters = self.model.parameters().items()
        trained = {name: each for name, each in parameters if name not in self.freeze_plan.frozen}
        gradients, norm = self.gradients.take(), None
        if self.plan.clip_grad_norm is not None:
            norm = clip([gradients[name] for name in trained], self.plan.clip_grad_norm)
        for name, parameter in trained.items():
            slots = self.slots.setdefault(name, new_slots(self.plan.optimizer, parameter))
            rate = plan.learning_rate * self.plan.lr_scale(name)
            decay = self.plan.weight_decay(parameter.shape)
            gradient = gradients[name]
            move(self.plan.optimizer, parameter, gradient, slots, rate, decay, plan.momentum)
        return norm

    def start_averages(self) -> None:
        if self.plan.averages and not self.averages:
            self.averages = {name: value.copy() for name, value in self.model.state()}

    def _average(self, share: np.float32) -> None:
        for name, value in self.model.state():
            self.averages[name] += share * (value - self.averages[name])

    def swap_average(self) -> None:
        if self.averages:
            for name, value in self.model.state():
                kept = value.copy()
                value[...], self.averages[name] = self.averages[name], kept

    def eval_step(self, batch: DeviceBatch) -> Outputs:
        for layer in self.model.layers.values():
            layer.training = False
        return Outputs(self.model(batch.images))

    def fetch(self, outputs: Sequence[Outputs]) -> list[HostOutputs]:
        return [HostOutputs(o.logits, scalar(o.loss), scalar(o.grad_norm)) for o in outputs]


def seed_dropout(model: Net, seed: int, step: int, part: Part) -> None:
    """Tells the dropout layers which images of which step they get.

    Args:
        model: Has the layers.
        seed: The experiment's seed.
        step: The step's number.
        part: What of a divided batch the step computes, or :data:`WHOLE`.
    """
    for path, layer in model.layers.items():
        if isinstance(layer, Dropout):
            layer.seed = layer_seed(seed, step, path, part.shard)
            layer.first = part.first


def scalar(value: np.float32 | None) -> float:
    """Returns the value, or NaN for None."""
    return float("nan") if value is None else float(value)

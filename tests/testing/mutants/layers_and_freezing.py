"""Broken copies of the example backend: BatchNorm, dropout, frozen parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isotune.interfaces.freezing import FreezePlan, Freezing
from isotune.training.dropout import layer_seed
from numpy_backend import layers, trainer
from numpy_backend.freezing import NumpyFreezing
from numpy_backend.layers import BatchNorm, Dropout
from numpy_backend.trainer import NumpyTrainer


def keeps_the_biased_variance(patch: pytest.MonkeyPatch) -> None:
    def biased(self: Any, x: Any) -> None:
        batch = x.mean((0, 2, 3)), x.var((0, 2, 3))
        for running, new in zip(self.statistics.values(), batch, strict=True):
            running += np.float32(self.momentum) * (new - running)

    patch.setattr(BatchNorm, "keep", biased)


def swaps_the_momentum_of_batch_norm(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchNorm, "momentum", 0.9)


def takes_another_epsilon_in_batch_norm(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchNorm, "eps", 1e-3)


def takes_batch_statistics_for_constants_in_gradients(patch: pytest.MonkeyPatch) -> None:
    backward = BatchNorm.backward

    def constant(self: Any, gradient: Any) -> Any:
        self.live = False
        return backward(self, gradient)

    patch.setattr(BatchNorm, "backward", constant)


def drops_by_another_seed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainer, "layer_seed", lambda seed, *rest: layer_seed(seed + 1, *rest))


def drops_the_same_at_every_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainer, "layer_seed", lambda seed, step, *rest: layer_seed(seed, 0, *rest))


def cuts_steps_to_32_bits(patch: pytest.MonkeyPatch) -> None:
    cut = 0xFFFFFFFF
    patch.setattr(
        trainer, "layer_seed", lambda seed, step, *rest: layer_seed(seed, step & cut, *rest)
    )


def does_not_scale_what_dropout_keeps(patch: pytest.MonkeyPatch) -> None:
    forward = Dropout.forward

    def unscaled(self: Any, x: Any) -> Any:
        forward(self, x)
        self.scale = (self.scale != 0).astype(np.float32)
        return x * self.scale

    patch.setattr(Dropout, "forward", unscaled)


def approximates_gelu(patch: pytest.MonkeyPatch) -> None:
    def approximation(x: Any) -> Any:
        inner = np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3)
        return x * (1 + np.tanh(inner)) / 2

    patch.setitem(layers.ACTIVATIONS, "gelu", (approximation, layers.ACTIVATIONS["gelu"][1]))


def moves_frozen_parameters(patch: pytest.MonkeyPatch) -> None:
    update = NumpyTrainer._update

    def moving(self: Any, learning_rate: float) -> None:
        plan, self.freeze_plan = self.freeze_plan, FreezePlan()
        update(self, learning_rate)
        self.freeze_plan = plan

    patch.setattr(NumpyTrainer, "_update", moving)


def decays_frozen_parameters(patch: pytest.MonkeyPatch) -> None:
    update = NumpyTrainer._update

    def decaying(self: Any, learning_rate: float) -> None:
        update(self, learning_rate)
        for name in self.freeze_plan.frozen:
            decay = np.float32(learning_rate * self.plan.optimizer.weight_decay)
            self.model.parameters()[name][...] *= 1 - decay

    patch.setattr(NumpyTrainer, "_update", decaying)


def updates_the_statistics_of_frozen_batch_norm(patch: pytest.MonkeyPatch) -> None:
    mode = NumpyFreezing.training_mode

    def awake(self: Any, model: Any, plan: FreezePlan) -> None:
        mode(self, model, replace(plan, batch_norm="train"))

    patch.setattr(NumpyFreezing, "training_mode", awake)


def never_updates_the_statistics_of_frozen_batch_norm(patch: pytest.MonkeyPatch) -> None:
    mode = NumpyFreezing.training_mode

    def asleep(self: Any, model: Any, plan: FreezePlan) -> None:
        mode(self, model, replace(plan, batch_norm="eval"))

    patch.setattr(NumpyFreezing, "training_mode", asleep)


def drops_within_frozen_blocks(patch: pytest.MonkeyPatch) -> None:
    mode = NumpyFreezing.training_mode

    def dropping(self: Any, model: Any, plan: FreezePlan) -> None:
        mode(self, model, plan)
        for layer in model.layers.values():
            layer.training |= isinstance(layer, Dropout)

    patch.setattr(NumpyFreezing, "training_mode", dropping)


def loses_momentum_when_the_plan_changes(patch: pytest.MonkeyPatch) -> None:
    freeze = NumpyTrainer.freeze

    def forgetting(self: Any, plan: FreezePlan) -> None:
        freeze(self, plan)
        self.slots = {}

    patch.setattr(NumpyTrainer, "freeze", forgetting)


def keeps_the_momentum_of_frozen_parameters(patch: pytest.MonkeyPatch) -> None:
    freeze = NumpyTrainer.freeze

    def keeping(self: Any, plan: FreezePlan) -> None:
        slots = self.slots
        freeze(self, plan)
        self.slots = slots

    patch.setattr(NumpyTrainer, "freeze", keeping)


def freezes_unknown_names_silently(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyFreezing, "apply", lambda self, model, plan: None)


def computes_the_variance_of_one_value(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainer, "check_single_image", lambda *arguments: None)


def reports_no_values_of_batch_norm(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyFreezing, "values_per_channel", Freezing.values_per_channel)


def trains_batch_norm_while_it_counts_values(patch: pytest.MonkeyPatch) -> None:
    count = NumpyFreezing.values_per_channel

    def moving(self: Any, model: Any, batch: Any) -> dict[str, int]:
        for layer in model.layers.values():
            layer.training = True
        model(batch.images.repeat(2, 0))
        return count(self, model, batch)

    patch.setattr(NumpyFreezing, "values_per_channel", moving)

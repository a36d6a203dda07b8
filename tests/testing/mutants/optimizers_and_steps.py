"""Broken copies of the example backend: update rules, accumulation, steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import HostOutputs, Outputs, TrainingPlan
from isotune.spec.optimizer import AdamSpec, AdamWSpec, SGDSpec
from numpy_backend import optimizer, trainer
from numpy_backend.freezing import NumpyFreezing
from numpy_backend.shards import Gradients
from numpy_backend.trainer import NumpyTrainer


def with_spec(patch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Makes updates by another spec than the plan's."""
    move = optimizer.move
    patch.setattr(trainer, "move", lambda spec, *rest: move(change(spec), *rest))


def adds_epsilon_under_adams_root(patch: pytest.MonkeyPatch) -> None:
    def direction(spec: Any, gradient: Any, slots: Any, momentum: float | None = None) -> Any:
        original(spec, gradient, slots, momentum)
        beta1, beta2 = momentum or spec.betas[0], spec.betas[1]
        step = float(slots["step"])
        root = np.sqrt(slots["exp_avg_sq"] / np.float32(1 - beta2**step) + np.float32(spec.eps))
        return slots["exp_avg"] / np.float32(1 - beta1**step) / root

    original = optimizer.adam_direction
    patch.setattr(optimizer, "adam_direction", direction)


def corrects_no_bias_of_adams_averages(patch: pytest.MonkeyPatch) -> None:
    def direction(spec: Any, gradient: Any, slots: Any, momentum: float | None = None) -> Any:
        original(spec, gradient, slots, momentum)
        return slots["exp_avg"] / (np.sqrt(slots["exp_avg_sq"]) + np.float32(spec.eps))

    original = optimizer.adam_direction
    patch.setattr(optimizer, "adam_direction", direction)


def couples_adamws_decay(patch: pytest.MonkeyPatch) -> None:
    def coupled(spec: Any) -> Any:
        if not isinstance(spec, AdamWSpec):
            return spec
        return AdamSpec(name="adam", betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay)

    with_spec(patch, coupled)


def decouples_adams_decay(patch: pytest.MonkeyPatch) -> None:
    def decoupled(spec: Any) -> Any:
        if not isinstance(spec, AdamSpec):
            return spec
        return AdamWSpec(
            name="adamw", betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay
        )

    with_spec(patch, decoupled)


def takes_nesterov_for_plain_momentum(patch: pytest.MonkeyPatch) -> None:
    def plain(spec: Any) -> Any:
        return spec.model_copy(update={"nesterov": False}) if isinstance(spec, SGDSpec) else spec

    with_spec(patch, plain)


def dampens_momentum(patch: pytest.MonkeyPatch) -> None:
    original = optimizer.sgd_direction

    def dampened(spec: Any, gradient: Any, slots: Any, momentum: float | None = None) -> Any:
        share = np.float32(1 - (momentum or spec.momentum))
        return original(spec, gradient * share, slots, momentum)

    patch.setattr(optimizer, "sgd_direction", dampened)


def ignores_learning_rate_scales(patch: pytest.MonkeyPatch) -> None:
    original = NumpyTrainer.__init__

    def unscaled(self: Any, model: Any, plan: Any, communicator: Any) -> None:
        original(self, model, replace(plan, lr_scales={}), communicator)

    patch.setattr(NumpyTrainer, "__init__", unscaled)


def decays_norms_and_biases(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TrainingPlan, "weight_decay", lambda self, shape: self.optimizer.weight_decay)


def keeps_the_optimizers_momentum(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step
    patch.setattr(
        NumpyTrainer, "train_step", lambda self, b, p: step(self, b, replace(p, momentum=None))
    )


def corrects_the_bias_of_the_optimizers_beta(patch: pytest.MonkeyPatch) -> None:
    original = optimizer.adam_direction

    def direction(spec: Any, gradient: Any, slots: Any, momentum: float | None = None) -> Any:
        found, step = original(spec, gradient, slots, momentum), float(slots["step"])
        own, given = spec.betas[0], momentum or spec.betas[0]
        return found * np.float32((1 - given**step) / (1 - own**step))

    patch.setattr(optimizer, "adam_direction", direction)


def clips_each_parameter_by_itself(patch: pytest.MonkeyPatch) -> None:
    original = optimizer.clip

    def clip(gradients: Any, largest: float) -> Any:
        return np.float32(np.linalg.norm([original([each], largest) for each in gradients]))

    patch.setattr(trainer, "clip", clip)


def clips_every_gradient_to_the_largest_norm(patch: pytest.MonkeyPatch) -> None:
    original = optimizer.clip

    def clip(gradients: Any, largest: float) -> Any:
        norm = original(gradients, largest)
        for each in gradients:
            each *= np.float32(max(1.0, largest / norm))
        return norm

    patch.setattr(trainer, "clip", clip)


def scales_the_loss_too(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step

    def scaled(self: Any, batch: Any, plan: Any) -> Any:
        outputs = step(self, batch, plan)
        return replace(outputs, loss=outputs.loss * plan.loss_scale)

    patch.setattr(NumpyTrainer, "train_step", scaled)


def ignores_the_loss_scale(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step
    patch.setattr(
        NumpyTrainer, "train_step", lambda self, b, p: step(self, b, replace(p, loss_scale=1.0))
    )


def updates_at_every_step(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step
    patch.setattr(
        NumpyTrainer, "train_step", lambda self, b, p: step(self, b, replace(p, apply_update=True))
    )


def keeps_gradients_after_an_update(patch: pytest.MonkeyPatch) -> None:
    take = Gradients.take

    def keeping(self: Any) -> Any:
        parts = self.parts
        totals = take(self)
        self.parts = parts
        return totals

    patch.setattr(Gradients, "take", keeping)


def returns_the_logits_after_the_update(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step

    def late(self: Any, batch: DeviceBatch, plan: Any) -> Outputs:
        outputs = step(self, batch, plan)
        return replace(outputs, logits=self.model(batch.images))

    patch.setattr(NumpyTrainer, "train_step", late)


def evaluates_in_training_mode(patch: pytest.MonkeyPatch) -> None:
    def training(self: Any, batch: DeviceBatch) -> Outputs:
        self.freezing.training_mode(self.model, self.freeze_plan)
        return Outputs(self.model(batch.images))

    patch.setattr(NumpyTrainer, "eval_step", training)


def trains_in_evaluation_mode_after_an_evaluation(patch: pytest.MonkeyPatch) -> None:
    mode = NumpyFreezing.training_mode

    def once(self: Any, model: Any, plan: FreezePlan) -> None:
        if not hasattr(model, "was_trained"):
            mode(self, model, plan)
            model.was_trained = True

    patch.setattr(NumpyFreezing, "training_mode", once)


def fetches_in_the_wrong_order(patch: pytest.MonkeyPatch) -> None:
    fetch = NumpyTrainer.fetch
    patch.setattr(NumpyTrainer, "fetch", lambda self, outputs: fetch(self, outputs)[::-1])


def fetches_an_evaluations_loss_as_zero(patch: pytest.MonkeyPatch) -> None:
    fetch = NumpyTrainer.fetch

    def zero(self: Any, outputs: Any) -> list[HostOutputs]:
        return [
            replace(each, loss=float(np.nan_to_num(each.loss))) for each in fetch(self, outputs)
        ]

    patch.setattr(NumpyTrainer, "fetch", zero)


def averages_before_the_update(patch: pytest.MonkeyPatch) -> None:
    average, train_step = NumpyTrainer._average, NumpyTrainer.train_step

    def early(self: Any, batch: DeviceBatch, plan: Any) -> Outputs:
        if plan.average_decay is not None:
            self.start_averages()
            average(self, np.float32(1 - plan.average_decay))
        return train_step(self, batch, plan)

    patch.setattr(NumpyTrainer, "train_step", early)
    patch.setattr(NumpyTrainer, "_average", lambda self, share: None)


def never_swaps_averages(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyTrainer, "swap_average", lambda self: None)


def loses_the_values_that_averages_replace(patch: pytest.MonkeyPatch) -> None:
    def overwrite(self: Any) -> None:
        for name, value in self.model.state():
            value[...] = self.averages.get(name, value)

    patch.setattr(NumpyTrainer, "swap_average", overwrite)

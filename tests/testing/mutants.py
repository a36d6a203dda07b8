"""Broken copies of the example backend: each a mistake that somebody makes once.

A mutant is a function that takes :class:`pytest.MonkeyPatch` and breaks one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isotune.interfaces.dataset import Batch, DeviceBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.head import HeadValues, LinearValues
from isotune.interfaces.trainer import HostOutputs, Outputs
from isotune.spec.optimizer import AdamSpec, AdamWSpec, SGDSpec
from isotune.training.dropout import layer_seed
from numpy_backend import head, layers, loss, optimizer, trainer
from numpy_backend.checkpoint import NumpyCheckpoints
from numpy_backend.dataset import NumpyDataset
from numpy_backend.freezing import NumpyFreezing
from numpy_backend.head import NumpyHeads
from numpy_backend.layers import BatchNorm, Dropout
from numpy_backend.trainer import NumpyTrainer

Mutant = Callable[[pytest.MonkeyPatch], None]
MUTANTS: dict[str, Mutant] = {}


def mutant(function: Mutant) -> Mutant:
    MUTANTS[function.__name__] = function
    return function


# Dataset


@mutant
def drops_the_short_last_batch(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed

    def without(self: Any, batches: Any, normalization: Any) -> Any:
        fed = list(feed(self, batches, normalization))
        return (each for each in fed if each.size == fed[0].size)

    patch.setattr(NumpyDataset, "feed", without)


@mutant
def normalizes_blue_as_red(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed

    def swapped(self: Any, batches: Any, normalization: Any) -> Any:
        mean, std = normalization.mean[::-1], normalization.std[::-1]
        return feed(self, batches, replace(normalization, mean=mean, std=std))

    patch.setattr(NumpyDataset, "feed", swapped)


@mutant
def swaps_height_and_width(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed

    def transposed(self: Any, batches: Any, normalization: Any) -> Any:
        for each in feed(self, batches, normalization):
            yield replace(each, images=each.images.transpose(0, 1, 3, 2))

    patch.setattr(NumpyDataset, "feed", transposed)


@mutant
def reads_the_whole_epoch_first(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed
    patch.setattr(NumpyDataset, "feed", lambda self, batches, n: feed(self, list(batches), n))


@mutant
def normalizes_the_images_of_the_core_in_place(patch: pytest.MonkeyPatch) -> None:
    feed = NumpyDataset.feed

    def overwriting(self: Any, batches: Any, normalization: Any) -> Any:
        for batch in batches:
            yield from feed(self, [Batch(batch.images.copy(), batch.labels)], normalization)
            batch.images[...] = 0

    patch.setattr(NumpyDataset, "feed", overwriting)


# Losses


@mutant
def counts_classes_from_the_last(patch: pytest.MonkeyPatch) -> None:
    original = loss.cross_entropy
    reversed_ = lambda z, labels, plan: original(z, z.shape[1] - 1 - labels, plan)  # noqa: E731
    patch.setitem(loss.LOSSES, "cross_entropy", reversed_)


@mutant
def divides_weighted_losses_by_their_number(patch: pytest.MonkeyPatch) -> None:
    original = loss.cross_entropy

    def plain(logits: Any, labels: Any, plan: Any) -> Any:
        value, gradient = original(logits, labels, plan)
        weights = plan.class_weights
        factor = 1 if weights is None else weights[labels].sum() / np.float32(len(labels))
        return value * factor, gradient * factor

    patch.setitem(loss.LOSSES, "cross_entropy", plain)


@mutant
def smooths_over_the_other_classes_only(patch: pytest.MonkeyPatch) -> None:
    original = loss.cross_entropy

    def others(logits: Any, labels: Any, plan: Any) -> Any:
        classes = logits.shape[1]
        smoothing = plan.label_smoothing * classes / (classes - 1)
        return original(logits, labels, replace(plan, label_smoothing=smoothing))

    patch.setitem(loss.LOSSES, "cross_entropy", others)


@mutant
def gives_a_single_logit_to_the_first_class(patch: pytest.MonkeyPatch) -> None:
    original = loss.binary_cross_entropy

    def flipped(logits: Any, labels: Any, plan: Any) -> Any:
        single = logits.shape[1] == 1
        return original(logits, 1 - labels if single else labels, plan)

    patch.setitem(loss.LOSSES, "binary_cross_entropy", flipped)


@mutant
def overflows_at_large_logits(patch: pytest.MonkeyPatch) -> None:
    def naive(logits: Any, labels: Any, plan: Any) -> Any:
        _, gradient = original(logits, labels, plan)
        with np.errstate(all="ignore"):
            p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            classes = logits.shape[1]
            weights = plan.class_weights if plan.class_weights is not None else np.ones(classes)
            targets = np.eye(classes)[labels] * (1 - plan.label_smoothing)
            targets = (targets + plan.label_smoothing / classes) * weights / weights[labels].sum()
            return np.float32(-(targets * np.log(p)).sum()), gradient

    original = loss.cross_entropy
    patch.setitem(loss.LOSSES, "cross_entropy", naive)


# Optimizers


def with_spec(patch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Makes updates by another spec than the plan's."""
    move = optimizer.move
    patch.setattr(trainer, "move", lambda spec, *rest: move(change(spec), *rest))


@mutant
def adds_epsilon_under_adams_root(patch: pytest.MonkeyPatch) -> None:
    def direction(spec: Any, gradient: Any, slots: Any) -> Any:
        original(spec, gradient, slots)
        beta1, beta2 = spec.betas
        step = float(slots["step"])
        root = np.sqrt(slots["exp_avg_sq"] / np.float32(1 - beta2**step) + np.float32(spec.eps))
        return slots["exp_avg"] / np.float32(1 - beta1**step) / root

    original = optimizer.adam_direction
    patch.setattr(optimizer, "adam_direction", direction)


@mutant
def corrects_no_bias_of_adams_averages(patch: pytest.MonkeyPatch) -> None:
    def direction(spec: Any, gradient: Any, slots: Any) -> Any:
        original(spec, gradient, slots)
        return slots["exp_avg"] / (np.sqrt(slots["exp_avg_sq"]) + np.float32(spec.eps))

    original = optimizer.adam_direction
    patch.setattr(optimizer, "adam_direction", direction)


@mutant
def couples_adamws_decay(patch: pytest.MonkeyPatch) -> None:
    def coupled(spec: Any) -> Any:
        if not isinstance(spec, AdamWSpec):
            return spec
        return AdamSpec(name="adam", betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay)

    with_spec(patch, coupled)


@mutant
def decouples_adams_decay(patch: pytest.MonkeyPatch) -> None:
    def decoupled(spec: Any) -> Any:
        if not isinstance(spec, AdamSpec):
            return spec
        return AdamWSpec(
            name="adamw", betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay
        )

    with_spec(patch, decoupled)


@mutant
def takes_nesterov_for_plain_momentum(patch: pytest.MonkeyPatch) -> None:
    def plain(spec: Any) -> Any:
        return spec.model_copy(update={"nesterov": False}) if isinstance(spec, SGDSpec) else spec

    with_spec(patch, plain)


@mutant
def dampens_momentum(patch: pytest.MonkeyPatch) -> None:
    original = optimizer.sgd_direction

    def dampened(spec: Any, gradient: Any, slots: Any) -> Any:
        return original(spec, gradient * np.float32(1 - spec.momentum), slots)

    patch.setattr(optimizer, "sgd_direction", dampened)


@mutant
def ignores_learning_rate_scales(patch: pytest.MonkeyPatch) -> None:
    original = NumpyTrainer.__init__

    def unscaled(self: Any, model: Any, plan: Any) -> None:
        original(self, model, replace(plan, lr_scales={}))

    patch.setattr(NumpyTrainer, "__init__", unscaled)


# Steps


@mutant
def scales_the_loss_too(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step

    def scaled(self: Any, batch: Any, plan: Any) -> Any:
        outputs = step(self, batch, plan)
        return replace(outputs, loss=outputs.loss * plan.loss_scale)

    patch.setattr(NumpyTrainer, "train_step", scaled)


@mutant
def ignores_the_loss_scale(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step
    patch.setattr(
        NumpyTrainer, "train_step", lambda self, b, p: step(self, b, replace(p, loss_scale=1.0))
    )


@mutant
def updates_at_every_step(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step
    patch.setattr(
        NumpyTrainer, "train_step", lambda self, b, p: step(self, b, replace(p, apply_update=True))
    )


@mutant
def keeps_gradients_after_an_update(patch: pytest.MonkeyPatch) -> None:
    update = NumpyTrainer._update

    def keeping(self: Any, learning_rate: float) -> None:
        sums = self.sums
        update(self, learning_rate)
        self.sums = sums

    patch.setattr(NumpyTrainer, "_update", keeping)


@mutant
def returns_the_logits_after_the_update(patch: pytest.MonkeyPatch) -> None:
    step = NumpyTrainer.train_step

    def late(self: Any, batch: DeviceBatch, plan: Any) -> Outputs:
        outputs = step(self, batch, plan)
        return replace(outputs, logits=self.model(batch.images))

    patch.setattr(NumpyTrainer, "train_step", late)


@mutant
def evaluates_in_training_mode(patch: pytest.MonkeyPatch) -> None:
    def training(self: Any, batch: DeviceBatch) -> Outputs:
        self.freezing.training_mode(self.model, self.freeze_plan)
        return Outputs(self.model(batch.images))

    patch.setattr(NumpyTrainer, "eval_step", training)


@mutant
def trains_in_evaluation_mode_after_an_evaluation(patch: pytest.MonkeyPatch) -> None:
    mode = NumpyFreezing.training_mode

    def once(self: Any, model: Any, plan: FreezePlan) -> None:
        if not hasattr(model, "was_trained"):
            mode(self, model, plan)
            model.was_trained = True

    patch.setattr(NumpyFreezing, "training_mode", once)


@mutant
def fetches_in_the_wrong_order(patch: pytest.MonkeyPatch) -> None:
    fetch = NumpyTrainer.fetch
    patch.setattr(NumpyTrainer, "fetch", lambda self, outputs: fetch(self, outputs)[::-1])


@mutant
def fetches_an_evaluations_loss_as_zero(patch: pytest.MonkeyPatch) -> None:
    def zero(self: Any, outputs: Any) -> list[HostOutputs]:
        return [HostOutputs(o.logits, float(o.loss or 0)) for o in outputs]

    patch.setattr(NumpyTrainer, "fetch", zero)


# Layers


@mutant
def keeps_the_biased_variance(patch: pytest.MonkeyPatch) -> None:
    def biased(self: Any, x: Any) -> None:
        batch = x.mean((0, 2, 3)), x.var((0, 2, 3))
        for running, new in zip(self.statistics.values(), batch, strict=True):
            running += np.float32(self.momentum) * (new - running)

    patch.setattr(BatchNorm, "keep", biased)


@mutant
def swaps_the_momentum_of_batch_norm(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchNorm, "momentum", 0.9)


@mutant
def takes_another_epsilon_in_batch_norm(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchNorm, "eps", 1e-3)


@mutant
def takes_batch_statistics_for_constants_in_gradients(patch: pytest.MonkeyPatch) -> None:
    backward = BatchNorm.backward

    def constant(self: Any, gradient: Any) -> Any:
        self.live = False
        return backward(self, gradient)

    patch.setattr(BatchNorm, "backward", constant)


@mutant
def drops_by_another_seed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainer, "layer_seed", lambda seed, step, path: layer_seed(seed + 1, step, path))


@mutant
def drops_the_same_at_every_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainer, "layer_seed", lambda seed, step, path: layer_seed(seed, 0, path))


@mutant
def cuts_steps_to_32_bits(patch: pytest.MonkeyPatch) -> None:
    cut = 0xFFFFFFFF
    patch.setattr(
        trainer, "layer_seed", lambda seed, step, path: layer_seed(seed, step & cut, path)
    )


@mutant
def does_not_scale_what_dropout_keeps(patch: pytest.MonkeyPatch) -> None:
    forward = Dropout.forward

    def unscaled(self: Any, x: Any) -> Any:
        forward(self, x)
        self.scale = (self.scale != 0).astype(np.float32)
        return x * self.scale

    patch.setattr(Dropout, "forward", unscaled)


@mutant
def approximates_gelu(patch: pytest.MonkeyPatch) -> None:
    def approximation(x: Any) -> Any:
        inner = np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3)
        return x * (1 + np.tanh(inner)) / 2

    patch.setitem(layers.ACTIVATIONS, "gelu", (approximation, layers.ACTIVATIONS["gelu"][1]))


# Freezing


@mutant
def moves_frozen_parameters(patch: pytest.MonkeyPatch) -> None:
    update = NumpyTrainer._update

    def moving(self: Any, learning_rate: float) -> None:
        plan, self.freeze_plan = self.freeze_plan, FreezePlan()
        update(self, learning_rate)
        self.freeze_plan = plan

    patch.setattr(NumpyTrainer, "_update", moving)


@mutant
def decays_frozen_parameters(patch: pytest.MonkeyPatch) -> None:
    update = NumpyTrainer._update

    def decaying(self: Any, learning_rate: float) -> None:
        update(self, learning_rate)
        for name in self.freeze_plan.frozen:
            decay = np.float32(learning_rate * self.plan.optimizer.weight_decay)
            self.model.parameters()[name][...] *= 1 - decay

    patch.setattr(NumpyTrainer, "_update", decaying)


@mutant
def updates_the_statistics_of_frozen_batch_norm(patch: pytest.MonkeyPatch) -> None:
    mode = NumpyFreezing.training_mode

    def awake(self: Any, model: Any, plan: FreezePlan) -> None:
        mode(self, model, replace(plan, batch_norm="train"))

    patch.setattr(NumpyFreezing, "training_mode", awake)


@mutant
def never_updates_the_statistics_of_frozen_batch_norm(patch: pytest.MonkeyPatch) -> None:
    mode = NumpyFreezing.training_mode

    def asleep(self: Any, model: Any, plan: FreezePlan) -> None:
        mode(self, model, replace(plan, batch_norm="eval"))

    patch.setattr(NumpyFreezing, "training_mode", asleep)


@mutant
def drops_within_frozen_blocks(patch: pytest.MonkeyPatch) -> None:
    mode = NumpyFreezing.training_mode

    def dropping(self: Any, model: Any, plan: FreezePlan) -> None:
        mode(self, model, plan)
        for layer in model.layers.values():
            layer.training |= isinstance(layer, Dropout)

    patch.setattr(NumpyFreezing, "training_mode", dropping)


@mutant
def loses_momentum_when_the_plan_changes(patch: pytest.MonkeyPatch) -> None:
    freeze = NumpyTrainer.freeze

    def forgetting(self: Any, plan: FreezePlan) -> None:
        freeze(self, plan)
        self.slots = {}

    patch.setattr(NumpyTrainer, "freeze", forgetting)


@mutant
def keeps_the_momentum_of_frozen_parameters(patch: pytest.MonkeyPatch) -> None:
    freeze = NumpyTrainer.freeze

    def keeping(self: Any, plan: FreezePlan) -> None:
        slots = self.slots
        freeze(self, plan)
        self.slots = slots

    patch.setattr(NumpyTrainer, "freeze", keeping)


@mutant
def freezes_unknown_names_silently(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyFreezing, "apply", lambda self, model, plan: None)


# State


@mutant
def exports_live_views(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyCheckpoints, "export_model", lambda self, model: dict(model.state()))


@mutant
def imports_without_copying(patch: pytest.MonkeyPatch) -> None:
    def binding(self: Any, model: Any, state: Any) -> None:
        for path, layer in model.layers.items():
            for values in (layer.parameters, layer.statistics):
                values.update({name: state[f"{path}.{name}"] for name in values})

    patch.setattr(NumpyCheckpoints, "import_model", binding)


@mutant
def leaves_statistics_out_of_the_state(patch: pytest.MonkeyPatch) -> None:
    export = NumpyCheckpoints.export_model

    def parameters(self: Any, model: Any) -> Any:
        return {k: v for k, v in export(self, model).items() if "running_" not in k}

    patch.setattr(NumpyCheckpoints, "export_model", parameters)


@mutant
def exports_no_optimizer_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyCheckpoints, "export_optimizer", lambda self, trainer: {})


@mutant
def restores_no_optimizer_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NumpyCheckpoints, "import_optimizer", lambda self, trainer, state: None)


@mutant
def restarts_adams_step_count(patch: pytest.MonkeyPatch) -> None:
    restore = NumpyCheckpoints.import_optimizer

    def restarting(self: Any, trainer: Any, state: Any) -> None:
        steps = {k: np.zeros((), np.float32) for k in state if k.endswith("/step")}
        restore(self, trainer, {**state, **steps})

    patch.setattr(NumpyCheckpoints, "import_optimizer", restarting)


# Heads


@mutant
def forgets_the_bias_of_a_new_head(patch: pytest.MonkeyPatch) -> None:
    replace_head = NumpyHeads.replace

    def unbiased(self: Any, model: Any, path: str, values: HeadValues) -> None:
        output = LinearValues(values.output.weight, np.zeros_like(values.output.bias))
        replace_head(self, model, path, replace(values, output=output))

    patch.setattr(NumpyHeads, "replace", unbiased)


@mutant
def shares_the_values_of_a_new_head(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(head, "linear", lambda values: layers.Linear(values.weight, values.bias))


@mutant
def takes_a_head_of_any_width(patch: pytest.MonkeyPatch) -> None:
    def any_width(self: Any, model: Any, path: str, values: HeadValues) -> None:
        for name in head.layers_at(model, path):
            del model.layers[name]
        model.layers.update(head.new_layers(path, values))

    patch.setattr(NumpyHeads, "replace", any_width)


@mutant
def leaves_a_detached_head_in_the_model(patch: pytest.MonkeyPatch) -> None:
    detach = NumpyHeads.detach

    def keeping(self: Any, model: Any, path: str) -> Any:
        layers = dict(model.layers)
        taken = detach(self, model, path)
        model.layers = layers
        return taken

    patch.setattr(NumpyHeads, "detach", keeping)


@mutant
def numbers_the_layers_of_a_head_by_twos(patch: pytest.MonkeyPatch) -> None:
    def numbered(path: str, values: HeadValues) -> Any:
        named = original(path, values)
        return {f"{path}.{2 * i}": layer for i, layer in enumerate(named.values())}

    original = head.new_layers
    patch.setattr(head, "new_layers", lambda p, v: numbered(p, v) if v.hidden else original(p, v))

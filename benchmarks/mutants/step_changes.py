"""Mutations that are no layer's: of the plan, the step, the frozen parameters, or the batch.

They are the same for every backend, since they change what the core hands to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from isotune.interfaces.dataset import Batch, Normalization
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import StepPlan, TrainingPlan

FROZEN = "layer1.0.conv1.weight"
"""A parameter of ResNet-18's frozen part."""
PART = "fc1"
"""A part of LeNet-5 whose learning rate a mutant scales."""
WEIGHTS = np.array([1, 1, 1, 1, 2], np.float32)


def optimizer(**changes: Any) -> Callable[[TrainingPlan], TrainingPlan]:
    """Returns a change of settings of the optimizer."""
    return lambda plan: replace(plan, optimizer=plan.optimizer.model_copy(update=changes))


def other_optimizer(name: str) -> Callable[[TrainingPlan], TrainingPlan]:
    """Returns a change to another optimizer with the same settings."""
    from isotune.spec.optimizer import AdamSpec, AdamWSpec

    kind = {"adam": AdamSpec, "adamw": AdamWSpec}[name]
    return lambda plan: replace(
        plan, optimizer=kind(**{**plan.optimizer.model_dump(), "name": name})
    )


PLANS: dict[str, Callable[[TrainingPlan], TrainingPlan]] = {
    "weight_decay_missing": optimizer(weight_decay=0.0),
    "weight_decay_of_norms": optimizer(no_decay="none"),
    "no_nesterov": optimizer(nesterov=False),
    "other_momentum": optimizer(momentum=0.8),
    "other_beta": optimizer(betas=(0.9, 0.99)),
    "swapped_betas": optimizer(betas=(0.999, 0.9)),
    "adam_eps": optimizer(eps=1e-5),
    "coupled_decay": other_optimizer("adam"),
    "decoupled_decay": other_optimizer("adamw"),
    "label_smoothing": lambda plan: replace(plan, label_smoothing=0.01),
    "class_weights": lambda plan: replace(plan, class_weights=WEIGHTS),
    "clipped_higher": lambda plan: replace(plan, clip_grad_norm=2 * plan.clip_grad_norm),
    "not_clipped": lambda plan: replace(plan, clip_grad_norm=None),
    "part_scaled": lambda plan: replace(plan, lr_scales={PART: 1.5}),
    "auxiliary_weight": lambda plan: replace(plan, auxiliary_weight=plan.auxiliary_weight * 1.1),
    "dropout_seed": lambda plan: replace(plan, seed=plan.seed + 1),
}

STEPS: dict[str, Callable[[StepPlan], StepPlan]] = {
    "learning_rate": lambda plan: replace(plan, learning_rate=plan.learning_rate * 1.01),
    "dropout_step": lambda plan: replace(plan, step=plan.step + 1),
}

FREEZES: dict[str, Callable[[FreezePlan], FreezePlan]] = {
    "frozen_moves": lambda plan: replace(plan, frozen=plan.frozen - {FROZEN}),
    "trained_stays": lambda plan: replace(plan, frozen=plan.frozen | {"layer4.1.conv2.weight"}),
    "frozen_norms_train": lambda plan: replace(plan, batch_norm="train"),
}


def images_only(change: Callable[[Any], Any]) -> Callable[[Batch], Batch]:
    """Returns a change of images, uint8 (N, height, width, 3)."""
    return lambda batch: replace(batch, images=np.ascontiguousarray(change(batch.images)))


BATCHES: dict[str, Callable[[Batch], Batch]] = {
    "images_permuted": images_only(lambda images: np.roll(images, 1, 0)),
    "images_flipped": images_only(lambda images: images[:, :, ::-1]),
    "images_bgr": images_only(lambda images: images[..., ::-1]),
    "one_pixel_off": images_only(lambda images: np.roll(images, 1, 2)),
    "batch_permuted": lambda batch: replace(
        batch, images=np.roll(batch.images, 1, 0), labels=np.roll(batch.labels, 1, 0)
    ),
    "labels_permuted": lambda batch: replace(batch, labels=np.roll(batch.labels, 1, 0)),
    "label_order": lambda batch: replace(batch, labels=(4 - batch.labels).astype(np.int32)),
}

NORMALIZATIONS: dict[str, Callable[[Normalization], Normalization]] = {
    "mean_of_bgr": lambda each: replace(each, mean=each.mean[::-1], std=each.std[::-1]),
    "deviation_twice": lambda each: replace(each, std=tuple(2 * value for value in each.std)),
}

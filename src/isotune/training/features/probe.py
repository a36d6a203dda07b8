"""Finds out by trying whether a model that somebody else built can be cut."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, DeviceBatch, FeatureBatch, Normalization
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import StepPlan, Trainer, TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.training.features.cut import Cut

STEPS = 4
"""Training steps of a trial: a layer that is random now and then may do nothing in one."""

TOLERANCE = 1e-3
"""Of the largest logit: float32 sums in another order differ by less, anything random by more."""

log = logging.getLogger(__name__)


def can_be_cut(
    backend: Backend,
    model: Any,
    cut: Cut,
    plan: TrainingPlan,
    freezing: FreezePlan,
    batch: Batch,
    normalization: Normalization,
) -> bool:
    """Tells whether training steps on features come to the same logits as those on images.

    It does not where something before the classifier is random in training or depends on the
    other images of a batch, or where something comes after it. The model stays as it was.

    Args:
        backend: the model's.
        model: native and whole.
        cut: where.
        plan: how it trains.
        freezing: the plan of the epochs in question.
        batch: at least two images; more of them find rare randomness more surely.
        normalization: of the images.
    """
    plan = dataclasses.replace(plan, optimizer=SGDSpec())
    before = backend.checkpoints.export_model(model)
    images = next(backend.dataset.feed([batch], normalization))
    whole = _logits(backend.trainer(model, plan), freezing, images)
    backend.checkpoints.import_model(model, before)  # a BatchNorm layer may have been at work
    head = backend.heads.detach(model, cut.path)
    try:
        extractor = backend.trainer(model, plan)
        (features,) = extractor.fetch([extractor.eval_step(images)])
        fed = next(backend.dataset.feed_features([FeatureBatch(features.logits, batch.labels)]))
        apart = _logits(backend.trainer(head, plan), cut.inside(freezing), fed)
    except Exception as error:  # somebody else's model: anything may happen
        log.info("'%s' does not take features by itself: %s", cut.path, error)
        return False
    finally:
        backend.heads.attach(model, cut.path, head)
        backend.checkpoints.import_model(model, before)
    scale = float(np.abs(whole).max())
    return whole.shape == apart.shape and np.allclose(whole, apart, TOLERANCE, TOLERANCE * scale)


def _logits(trainer: Trainer, freezing: FreezePlan, batch: DeviceBatch) -> NDArray[np.float32]:
    trainer.freeze(freezing)
    steps = [trainer.train_step(batch, StepPlan(step, learning_rate=0.0)) for step in range(STEPS)]
    return np.stack([outputs.logits for outputs in trainer.fetch(steps)])

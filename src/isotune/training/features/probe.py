"""Finds out by a trial whether a third party's model can be cut before its classifier."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.backend import Backend
from isotune.interfaces.communicator import Alone
from isotune.interfaces.dataset import DeviceBatch, FeatureBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune.spec.optimizer import SGDSpec
from isotune.training.features.cut import Cut
from isotune.training.session import Session

IMAGES = 8
"""Number of images of a trial."""

STEPS = 4
"""Training steps of a trial: a layer that is random now and then may do nothing in one."""

TOLERANCE = 1e-3
"""Relative to the largest logit: float32 sums in another order differ by less, anything random by
more."""

log = logging.getLogger(__name__)


def can_be_cut(session: Session, model: Any, cut: Cut, freezing: FreezePlan) -> bool:
    """Whether training steps on features give the same logits as steps on images.

    They do not where something before the classifier is random in training or depends on the
    other images of a batch, or where something comes after it. The model does not change. Each of
    several processes tries it by itself, on the same images; they come to one conclusion.

    Args:
        session: The experiment.
        model: Native and whole.
        cut: Where to cut the model.
        freezing: The plan of the epochs in question.
    """
    with session.group.reporting(), _alone(session.backend):
        can = _can_be_cut(session, model, cut, freezing)
    return all(session.group.exchange(b"yes" if can else b""))


@contextmanager
def _alone(backend: Backend) -> Iterator[None]:
    """Lets trainers that are made within train in this process only."""
    communicator = backend.communicator
    backend.communicator = Alone()
    try:
        yield
    finally:
        backend.communicator = communicator


def _can_be_cut(session: Session, model: Any, cut: Cut, freezing: FreezePlan) -> bool:
    backend = session.backend
    plan = dataclasses.replace(session.plan, optimizer=SGDSpec(), averages=False, shards=1)
    batch = next(session.training_batches().regrouped(IMAGES).epoch(0))
    before = backend.state_adapter.export_model(model)
    images = next(backend.dataset.feed([batch], session.normalization))
    whole = _logits(backend.trainer(model, plan), freezing, images)
    backend.state_adapter.import_model(model, before)  # BatchNorm may have updated its statistics
    head = backend.heads.detach(model, cut.path)
    try:
        extractor = backend.trainer(model, plan)
        (features,) = extractor.fetch([extractor.eval_step(images)])
        on_device = next(
            backend.dataset.feed_features([FeatureBatch(features.logits, batch.labels)])
        )
        apart = _logits(backend.trainer(head, plan), cut.inside(freezing), on_device)
    except Exception as error:  # a third party's model may raise anything
        log.info("'%s' does not take features by itself: %s", cut.path, error)
        return False
    finally:
        backend.heads.attach(model, cut.path, head)
        backend.state_adapter.import_model(model, before)
    scale = float(np.abs(whole).max())
    return whole.shape == apart.shape and np.allclose(whole, apart, TOLERANCE, TOLERANCE * scale)


def _logits(trainer: Trainer, freezing: FreezePlan, batch: DeviceBatch) -> NDArray[np.float32]:
    trainer.freeze(freezing)
    steps = [trainer.train_step(batch, StepPlan(step, learning_rate=0.0)) for step in range(STEPS)]
    return np.stack([outputs.logits for outputs in trainer.fetch(steps)])

"""Finds out before the first step whether a training batch is too small for BatchNorm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isotune.errors import SpecError
from isotune.interfaces.division import Division
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter
from isotune.spec.experiment import ExperimentSpec
from isotune.training.session import Session
from isotune.training.single_images import starved_layer


def check_last_batch(
    session: Session, model: Any, freezing: Callable[[int], FreezePlan], first_epoch: int
) -> None:
    """Checks that no BatchNorm layer in training mode gets one value per channel of a shard.

    Args:
        session: The experiment.
        model: Native, ready to be trained; it does not change.
        freezing: Returns the freeze plan of an epoch, counted from 1.
        first_epoch: The first epoch that will be trained.

    Raises:
        SpecError: A layer does, of a batch of one image, or a shard of one.
    """
    spec, batches, backend = session.spec, session.training_batches(), session.backend
    first = min(spec.batch_size, batches.size)
    last = batches.size % spec.batch_size or first
    if not any(_has_single(spec.shards, images) for images in (first, last)):
        return
    images = next(batches.regrouped(1).epoch(0))
    image = next(iter(backend.dataset.feed([images], session.normalization)))
    values = backend.freezing.values_per_channel(model, image)
    parameters = [n for n in backend.state_adapter.model_shapes(model) if is_parameter(n)]
    for epoch in range(first_epoch, spec.epochs + 1):
        if (layer := starved_layer(values, freezing(epoch), parameters)) is not None:
            raise SpecError(_refusal(spec, batches.size, layer))


def _has_single(shards: int, images: int) -> bool:
    """Whether a batch of so many images has a shard of one."""
    return 1 in np.diff(Division(shards).edges(images))


def _refusal(spec: ExperimentSpec, images: int, layer: str) -> str:
    batch_size, shards = spec.batch_size, spec.shards
    what = f"BatchNorm layer '{layer}' gets one value per channel and cannot compute a variance"
    if images == 1:
        return f"dataset: has one training image, of which {what}: add images or freeze the layer."
    if batch_size == 1:
        return f"batch_size: is 1, so that {what}: take 2 or more, or larger images."
    first, last = min(batch_size, images), images % batch_size
    if shards > 1 and _has_single(shards, first):
        return (
            f"shards: is {shards}, which leaves one image of a batch of {first} to a shard, of"
            f" which {what}: take fewer shards, or larger batches or images."
        )
    if shards > 1 and last != 1:
        return (
            f"shards: is {shards}, which leaves one image of the last batch of {last} to a shard,"
            f" of which {what}: set drop_last: true, or take another batch_size."
        )
    return (
        f"batch_size: is {batch_size}, which leaves a last batch of one of {images} training"
        f" images, of which {what}: set drop_last: true, or take another batch_size."
    )

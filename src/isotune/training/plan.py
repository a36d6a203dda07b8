"""What a trainer needs to know of an experiment, and whether backend and dataset can provide it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isotune.data.images import Images
from isotune.errors import DatasetError, SpecError, nearest
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Labels, class_counts
from isotune.interfaces.trainer import TrainingPlan
from isotune.metrics import monitored
from isotune.metrics.metric import Scored
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.loss import LossSpec
from isotune.spec.metrics import ALWAYS
from isotune.spec.optimizer import OptimizerSpec
from isotune.spec.schedule import Moment
from isotune.training.evaluation import assess

log = logging.getLogger(__name__)


def training_plan(spec: ExperimentSpec, entry: BackboneEntry, images: Images) -> TrainingPlan:
    """Returns what a trainer needs to know of the experiment.

    Raises:
        DatasetError: The dataset's format is wrong about its labels.
        SpecError: class weights or a single output do not fit the dataset's classes, a monitored
            metric has no value on the validation images, or the backbone has no stages or blocks
            for learning rates by stage or block.
    """
    check_targets(spec, images.train.labels)
    check_outputs(spec, len(images.classes))
    check_monitors(spec, images.classes, images.val.labels)
    mention_unseen_classes(images.classes, images.train.labels)
    weights = class_weights(spec.loss, images.classes, images.train.labels)
    return plan_with(spec, entry, weights)


def check_abilities(spec: ExperimentSpec, backend: Backend) -> None:
    """Checks that the backend can train as the experiment asks, in this precision and in shards.

    Raises:
        SpecError: It cannot.
    """
    if spec.shards > 1 and not backend.divides_batches:
        raise SpecError(
            f"shards: is {spec.shards}, but backend '{backend.name}' does not divide batches; leave"
            " it out."
        )
    precisions = backend.precisions()
    if spec.precision not in precisions:
        raise SpecError(
            f"precision: backend '{backend.name}' has no '{spec.precision}' on {backend.device};"
            f" it has: {', '.join(precisions)}."
        )


IDLE = 1e-4
"""Share of the optimizer's learning rate below which training hardly changes a parameter."""


def mention_idle_epochs(spec: ExperimentSpec, steps_per_epoch: int) -> None:
    """Logs a warning if the learning rate is about 0 in whole epochs after a schedule's end."""
    length, lr = spec.schedule.length(spec.epochs), spec.optimizer.lr
    if length >= spec.epochs:
        return
    step = length * steps_per_epoch
    rate = spec.schedule.rates(Moment(lr, step, steps_per_epoch, spec.epochs)).learning_rate
    if rate < IDLE * lr:
        log.warning(
            "schedule.epochs: is %d, after which the learning rate is %.3g: of the run's %d epochs,"
            " those after epoch %d %s.",
            *(length, rate, spec.epochs, length),
            "hardly change any parameter" if rate else "change no parameter",
        )


def check_monitors(spec: ExperimentSpec, classes: Sequence[str], labels: Labels) -> None:
    """Checks that monitored metrics have a value on validation images with these labels.

    Whether they have is found out with images that are correctly predicted.

    Raises:
        SpecError: One has none, such as ROC AUC on images of one class.
    """
    perfect, stopping = _perfect(spec, labels, len(classes)), spec.early_stopping
    fields = {
        "checkpoint": spec.checkpoint.monitor,
        "early_stopping": None if stopping is None else stopping.monitor,
        "schedule": spec.schedule.monitored(),
    }
    for field, monitor in fields.items():
        if monitor is None or monitored(monitor).name in ALWAYS:
            continue
        if not math.isfinite(perfect.value(monitored(monitor))):
            present = ", ".join(classes[label] for label in np.flatnonzero(perfect.have_images))
            raise SpecError(
                f"{field}.monitor: {monitor} has no value on these validation images, which"
                f" are of {present or 'no class'} only."
            )


def _perfect(spec: ExperimentSpec, labels: Labels, classes: int) -> Scored:
    """Returns the scores of a model that is always right, on an image of each class or on all."""
    if labels.ndim == 1:
        labels = np.unique(labels).astype(np.int32)
    own = labels > 0.5 if labels.ndim == 2 else labels[:, None] == np.arange(classes)
    logits = np.where(own, 10, -10).astype(np.float32)
    return assess(logits, labels, TrainingPlan(spec.optimizer, loss=spec.loss.name), ())


def mention_unseen_classes(classes: Sequence[str], labels: Labels) -> None:
    """Logs a warning if a class has no training image; not every format refuses that.

    Args:
        classes: Class names, in label order.
        labels: Labels of the training images.
    """
    seen = class_counts(labels, len(classes)) > 0
    if unseen := [name for name, any_image in zip(classes, seen, strict=True) if not any_image]:
        log.warning(
            "no training image is of %s: a class without any cannot be learned.", ", ".join(unseen)
        )


def check_targets(spec: ExperimentSpec, labels: Labels) -> None:
    """Checks that a dataset's format says of its labels what they are.

    Raises:
        DatasetError: It says that an image may have several, and they are those of one, or the
            other way round.
    """
    several = labels.ndim == 2
    if several != spec.dataset.multi_label:
        raise DatasetError(
            f"dataset.format: '{spec.dataset.format}' reads"
            f" {'several labels' if several else 'one label'} an image, but its multi_label is"
            f" {spec.dataset.multi_label}: the format is wrong."
        )


def check_outputs(spec: ExperimentSpec, classes: int) -> None:
    """Checks that the head has enough outputs for the dataset's classes.

    Raises:
        SpecError: a single output, but not two classes.
    """
    if spec.head.outputs == "single" and classes != 2:
        raise SpecError(
            "head.outputs: is 'single', which is for two classes, but the dataset has"
            f" {classes}: use 'per_class'."
        )


def plan_with(
    spec: ExperimentSpec, entry: BackboneEntry, weights: NDArray[np.float32] | None
) -> TrainingPlan:
    """Returns the training plan with the given class weights, float32 of shape (classes,).

    Raises:
        SpecError: The backbone has no stages or blocks for learning rates by stage or block.
    """
    return TrainingPlan(
        optimizer=spec.optimizer,
        loss=spec.loss.name,
        label_smoothing=spec.loss.label_smoothing,
        class_weights=weights,
        multi_label=spec.dataset.multi_label,
        seed=spec.seed,
        precision=spec.precision,
        compile=spec.compile,
        accumulate=spec.accumulate,
        lr_scales=lr_scales(spec.optimizer, entry),
        clip_grad_norm=spec.clip_grad_norm,
        auxiliary=tuple(path.rpartition(".")[0] for path in entry.auxiliary),
        auxiliary_weight=entry.auxiliary_weight,
        shards=spec.shards,
        reduction=spec.reduction,
        averages=spec.ema is not None,
    )


def lr_scales(optimizer: OptimizerSpec, entry: BackboneEntry) -> dict[str, float]:
    """Returns the learning-rate scale of each part of the backbone, by its path.

    The scale is 1 for the last stage or block, which is the head, and the decay times that of the
    next one for each one before it.

    Raises:
        SpecError: The backbone has no stages, or no blocks.
    """
    if optimizer.lr_decay_per_block != 1:
        decay, parts = optimizer.lr_decay_per_block, entry.blocks
        if not parts:
            raise SpecError(
                f"optimizer.lr_decay_per_block: is for transformers, and backbone '{entry.name}'"
                f" names no blocks; {'use lr_decay_per_stage' if entry.stages else 'leave it out'}."
            )
    else:
        decay, parts = optimizer.lr_decay_per_stage, entry.stages
        if decay != 1 and not parts:
            raise SpecError(
                f"optimizer.lr_decay_per_stage: backbone '{entry.name}' names no stages; leave it"
                " out."
            )
    if decay == 1:
        return {}
    return {
        path: decay**number
        for number, paths in enumerate(reversed([*parts.values()]))
        for path in paths
    }


def class_weights(
    loss: LossSpec, classes: Sequence[str], labels: Labels
) -> NDArray[np.float32] | None:
    """Returns a weight for each class, float32 of shape (classes,), or None for no weights.

    Raises:
        SpecError: weights by name do not name exactly the dataset's classes, or one is 0 or
            infinite in float32.
    """
    if loss.class_weights == "none":
        return None
    if loss.class_weights == "balanced":
        counts = np.maximum(class_counts(labels, len(classes)), 1)
        shares: NDArray[np.float64] = (
            np.maximum(len(labels) - counts, 1) / counts
            if labels.ndim == 2
            else len(labels) / (len(classes) * counts)
        )
        return shares.astype(np.float32)
    for name in loss.class_weights:
        if name not in classes:
            raise SpecError(
                f"loss.class_weights: '{name}' is not a class of the dataset."
                f"{nearest(name, classes)} Its classes are: {', '.join(classes)}."
            )
    missing = [name for name in classes if name not in loss.class_weights]
    if missing:
        raise SpecError(f"loss.class_weights: has no weight for {', '.join(missing)}.")
    with np.errstate(over="ignore", under="ignore"):
        weights = np.array([loss.class_weights[name] for name in classes]).astype(np.float32)
    for name, weight in zip(classes, weights, strict=True):
        if not 0 < weight < np.inf:
            raise SpecError(
                f"loss.class_weights: the weight of '{name}' is {loss.class_weights[name]:g}, which"
                f" is {weight:g} in float32; only the weights' ratios matter."
            )
    return weights

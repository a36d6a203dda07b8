"""Whether a checkpoint belongs to the experiment that goes on from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isotune.data.folders import one_form
from isotune.errors import RunError
from isotune.experiment.listed_images import listed_images
from isotune.interfaces.checkpoint import GRAD_SCALER
from isotune.runs.checkpoint import OPTIMIZER, Checkpoint
from isotune.runs.images import check_same_images
from isotune.runs.schema import Manifest
from isotune.runs.state_files import MANIFEST
from isotune.spec.experiment import ExperimentSpec
from isotune.training.session import Session

MOST_UPDATES = 1 << 53
"""Limit of an optimizer's counts, far above any."""


def check_dataset(path: Path, manifest: Manifest, session: Session) -> None:
    """Checks that the dataset is the one that the run was trained on.

    Raises:
        RunError: its classes, its images or the number of steps of an epoch are others.
    """
    images, classes = session.images, tuple(manifest.classes)
    if tuple(map(one_form, images.classes)) != tuple(map(one_form, classes)):
        raise RunError(
            f"{path}: was trained on the classes {', '.join(classes)}, but the dataset has"
            f" {', '.join(images.classes)}."
        )
    # Contents that are read during training are compared when that is done.
    check_same_images(path, listed_images(session, contents=images.check is None))
    if len(images.train) != manifest.images:
        raise RunError(
            f"{path}: was trained on {manifest.images} images, but the dataset has"
            f" {len(images.train)}, so that its order would be another one."
        )
    steps, so_far = len(session.training_batches()), manifest.epoch_so_far
    within = steps if so_far is None else so_far.steps
    step = (manifest.epoch - 1) * steps + within
    if step != manifest.step or within > steps:
        raise RunError(
            f"{path / 'checkpoints' / manifest.name / MANIFEST}: is damaged: step is"
            f" {manifest.step}, which is not in epoch {manifest.epoch} of {steps} steps each."
        )


def check_optimizer(folder: Path, checkpoint: Checkpoint, spec: ExperimentSpec) -> None:
    """Checks that the optimizer's state has the slots of the spec's optimizer.

    Args:
        folder: Where the run has its checkpoints.
        checkpoint: The checkpoint, whose model is that of the spec.
        spec: The spec.

    Raises:
        RunError: a slot is missing, unknown, of another shape or not float32.
    """
    slots: dict[str, dict[str, NDArray[np.float32]]] = {}
    for key, value in checkpoint.optimizer.items():
        name, _, slot = key.rpartition("/")
        slots.setdefault(name, {})[slot] = value
    scaler = slots.pop(GRAD_SCALER, {})
    expected = {name: _slot_shapes(checkpoint, spec, name) for name in slots}
    if scaler:
        slots[GRAD_SCALER], expected[GRAD_SCALER] = scaler, {"scale": (), "growth_tracker": ()}
    for name, shapes in expected.items():
        found = {slot: value.shape for slot, value in slots[name].items()}
        scalars = [value for value in slots[name].values() if not value.shape]
        if found != shapes:
            fault = f"the slots of '{name}' are {found}, and should be {shapes}"
        elif any(value.dtype != np.float32 for value in slots[name].values()):
            fault = f"the slots of '{name}' are not float32"
        elif not all(0 <= value <= MOST_UPDATES for value in scalars):
            fault = f"the slots of '{name}' have a scalar that is no count"
        else:
            continue
        where = folder / checkpoint.manifest.name / OPTIMIZER
        raise RunError(f"{where}: is damaged: {fault}.")


def check_average(folder: Path, checkpoint: Checkpoint, spec: ExperimentSpec) -> None:
    """Checks that a checkpoint has averages if and only if the run keeps some.

    Args:
        folder: Where the run has its checkpoints.
        checkpoint: The checkpoint.
        spec: The spec.

    Raises:
        RunError: It is otherwise.
    """
    if (checkpoint.average is None) != (spec.ema is None):
        fault = (
            "has no averages of the weights, but the spec has ema"
            if checkpoint.average is None
            else "has averages of the weights, but the spec has no ema"
        )
        raise RunError(f"{folder / checkpoint.manifest.name / MANIFEST}: is damaged: it {fault}.")


def _slot_shapes(
    checkpoint: Checkpoint, spec: ExperimentSpec, name: str
) -> dict[str, tuple[int, ...]]:
    # A name that the model does not have belongs to nothing: no slots.
    parameter = checkpoint.model.get(name)
    return {} if parameter is None else spec.optimizer.slot_shapes(parameter.shape)

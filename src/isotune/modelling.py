"""Makes the model of an experiment: backbone, weights, new head; and what its trainer needs."""

from __future__ import annotations

import importlib
from typing import Any

from isotune.data.pictures import Pictures
from isotune.errors import BackendError, WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.experiment import ExperimentSpec
from isotune.training.loss import class_weights
from isotune.weights.dialects import to_canonical
from isotune.weights.fetching import locate_weights
from isotune.weights.initial import initial_state, linear_head
from isotune.weights.matching import match
from isotune.weights.reading import read_weights


def build_model(spec: ExperimentSpec, entry: BackboneEntry, backend: Backend, classes: int) -> Any:
    """Returns the native model at the start of training, the same values in every backend.

    Raises:
        WeightsError: the weights are missing or do not fit.
        BackendError: the backend does not have the backbone.
    """
    model = build_backbone(entry, backend)
    shapes = {name: v.shape for name, v in backend.checkpoints.export_model(model).items()}
    state = _backbone_state(spec, entry, shapes)
    head = linear_head(spec.seed, backend.heads.in_features(model, entry.classifier), classes)
    backend.heads.replace(model, entry.classifier, head)
    state[f"{entry.classifier}.weight"] = head.weight
    state[f"{entry.classifier}.bias"] = head.bias
    backend.checkpoints.import_model(model, state)
    return model


def build_backbone(entry: BackboneEntry, backend: Backend) -> Any:
    """Returns the native model with its original head and arbitrary values.

    Raises:
        BackendError: the backend does not have the backbone.
    """
    if builder := entry.builders.get(backend.name):
        module, _, function = builder.partition(":")
        try:
            build = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise BackendError(
                f"backbone '{entry.name}': its builder {builder} cannot be imported: {error}."
            ) from error
        return backend.backbones.adopt(build())
    if entry.name in backend.backbones.names():
        return backend.backbones.build(entry.name)
    raise BackendError(
        f"backend '{backend.name}' does not have backbone '{entry.name}';"
        f" it has: {', '.join(backend.backbones.names())}."
    )


def _backbone_state(
    spec: ExperimentSpec, entry: BackboneEntry, shapes: dict[str, tuple[int, ...]]
) -> State:
    try:
        chosen = spec.backbone
        path = locate_weights(entry, chosen.weights, url=chosen.url, sha256=chosen.sha256)
    except WeightsError as error:
        raise WeightsError(f"backbone.weights: {error}") from error
    if path is None:
        state = initial_state(shapes, spec.seed)
    else:
        state = match(shapes, to_canonical(read_weights(path), entry, str(path)), entry, str(path))
    return {name: value for name, value in state.items() if not entry.is_head(name)}


def training_plan(spec: ExperimentSpec, pictures: Pictures) -> TrainingPlan:
    """Returns what a trainer needs to know of the experiment.

    Raises:
        SpecError: class weights do not fit the dataset's classes.
    """
    return TrainingPlan(
        optimizer=spec.optimizer,
        label_smoothing=spec.loss.label_smoothing,
        class_weights=class_weights(spec.loss, pictures.classes, pictures.train.labels),
        seed=spec.seed,
    )

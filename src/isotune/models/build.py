"""Builds the model of an experiment (backbone, weights, new head) and its freeze plans."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from isotune.errors import BackendError, WeightsError
from isotune.interfaces.backbone import OWN_WEIGHTS, BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.head import HeadValues
from isotune.models.freezing import freeze_plan
from isotune.models.head import auxiliary_head, head_path, new_head, outputs_of
from isotune.models.initial import initial_state
from isotune.spec.experiment import ExperimentSpec
from isotune.weights.fetch import locate_weights
from isotune.weights.load import load_backbone


def build_model(spec: ExperimentSpec, entry: BackboneEntry, backend: Backend, classes: int) -> Any:
    """Returns the native model at the start of training, the same values in every backend.

    Raises:
        WeightsError: The weights are missing or do not fit.
        BackendError: The backend does not have the backbone.
    """
    model, heads = build_with_heads(spec, entry, backend, classes)
    new = {k: v for path, head in heads.items() for k, v in head.state(path).items()}
    shapes = backend.state_adapter.model_shapes(model)
    backbone = {name: shape for name, shape in shapes.items() if name not in new}
    if spec.backbone.weights == OWN_WEIGHTS:
        state = _own_state(entry, backend, model, backbone)
    else:
        state = _backbone_state(spec, entry, backbone)
    backend.state_adapter.import_model(model, {**state, **new})
    return model


def build_with_heads(
    spec: ExperimentSpec, entry: BackboneEntry, backend: Backend, classes: int
) -> tuple[Any, dict[str, HeadValues]]:
    """Returns the native model with its new head, and the values of its new layers by path.

    New layers are the head and the last layers of auxiliary classifiers. All other values of the
    model are arbitrary.

    Raises:
        BackendError: The backend does not have the backbone.
    """
    model = build_backbone(entry, backend)
    path, width = head_path(spec.head, entry), backend.heads.in_features
    head = new_head(spec.head, spec.seed, width(model, path), classes, entry.convolutional)
    heads, outputs = {path: head}, outputs_of(spec.head, classes)
    for each in entry.auxiliary:
        heads[each] = auxiliary_head(spec.seed, each, width(model, each), outputs)
    for place, values in heads.items():
        backend.heads.replace(model, place, values)
    return model, heads


def build_backbone(entry: BackboneEntry, backend: Backend) -> Any:
    """Returns the native model with its original head and arbitrary values.

    Raises:
        BackendError: The backend does not have the backbone.
    """
    if builder := entry.builders.get(backend.name):
        build = _imported(builder, entry) if isinstance(builder, str) else builder
        return backend.backbones.adopt(build())
    if backend.backbones.builds(entry):
        return backend.backbones.build(entry)
    raise BackendError(
        f"backend '{backend.name}' does not have backbone '{entry.name}';"
        f" it has: {', '.join(backend.backbones.names())}."
    )


def _imported(builder: str, entry: BackboneEntry) -> Callable[[], Any]:
    module, _, function = builder.partition(":")
    try:
        build: Callable[[], Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise BackendError(
            f"backbone '{entry.name}': its builder {builder} cannot be imported: {error}."
        ) from error
    return build


def freezing_plans(
    spec: ExperimentSpec, entry: BackboneEntry, names: Iterable[str]
) -> Callable[[int], FreezePlan]:
    """Returns a function that returns the freeze plan of an epoch, counted from 1.

    Args:
        spec: The experiment.
        entry: The backbone's catalogue entry.
        names: Canonical names of the model's tensors.

    Raises:
        SpecError: A pattern matches no parameter, or nothing is left to train.
    """
    head, state_names = head_path(spec.head, entry), tuple(names)

    def plan(epoch: int) -> FreezePlan:
        return freeze_plan(spec.freeze, head, state_names, epoch, entry.stages)

    plan(1)  # checks every pattern, also those of later epochs
    return plan


def _own_state(entry: BackboneEntry, backend: Backend, model: Any, names: Iterable[str]) -> State:
    """Returns the values with which a builder has returned the model."""
    if backend.name not in entry.builders:
        raise WeightsError(
            f"backbone.weights: '{OWN_WEIGHTS}' are those of a model that a program or a plugin"
            f" builds, and '{entry.name}' is built by Isotune."
        )
    state = backend.state_adapter.export_model(model)
    return {name: state[name] for name in names}


def _backbone_state(
    spec: ExperimentSpec, entry: BackboneEntry, shapes: dict[str, tuple[int, ...]]
) -> State:
    try:
        path = locate_weights(
            entry, spec.backbone.weights, url=spec.backbone.url, sha256=spec.backbone.sha256
        )
    except WeightsError as error:
        raise WeightsError(f"backbone.weights: {error}") from error
    if path is None:
        return initial_state(shapes, spec.seed, entry.initialization)
    return load_backbone(path, entry, shapes, spec.backbone.prefix)

"""Makes the model of an experiment: backbone, weights, new head; and what its trainer needs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.data.images import Pictures
from isotune.errors import BackendError, SpecError, WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.head import HeadValues
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.freezing import freeze_plan
from isotune.models.head import auxiliary_head, head_path, new_head, outputs_of
from isotune.models.initial import initial_state
from isotune.spec.experiment import ExperimentSpec
from isotune.training.loss import class_weights
from isotune.weights.fetch import locate_weights
from isotune.weights.load import load_backbone


def build_model(spec: ExperimentSpec, entry: BackboneEntry, backend: Backend, classes: int) -> Any:
    """Returns the native model at the start of training, the same values in every backend.

    Raises:
        WeightsError: the weights are missing or do not fit.
        BackendError: the backend does not have the backbone.
    """
    model, heads = build_with_heads(spec, entry, backend, classes)
    new = {k: v for path, head in heads.items() for k, v in head.state(path).items()}
    shapes = backend.checkpoints.model_shapes(model)
    backbone = {name: shape for name, shape in shapes.items() if name not in new}
    state = _backbone_state(spec, entry, backbone)
    backend.checkpoints.import_model(model, {**state, **new})
    return model


def build_with_heads(
    spec: ExperimentSpec, entry: BackboneEntry, backend: Backend, classes: int
) -> tuple[Any, dict[str, HeadValues]]:
    """Returns the native model with its new head, and the values of what is new, by path.

    New are also the last layers of auxiliary classifiers. All other values are arbitrary.

    Raises:
        BackendError: the backend does not have the backbone.
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
        return backend.backbones.build(entry.name, entry.preprocessing.input_size)
    raise BackendError(
        f"backend '{backend.name}' does not have backbone '{entry.name}';"
        f" it has: {', '.join(backend.backbones.names())}."
    )


def freezing_plans(
    spec: ExperimentSpec, entry: BackboneEntry, names: Iterable[str]
) -> Callable[[int], FreezePlan]:
    """Returns what gives the freeze plan of an epoch, counted from 1.

    Args:
        spec: the experiment.
        entry: its backbone.
        names: canonical names of the model's state.

    Raises:
        SpecError: a pattern matches no parameter, or nothing is left to train.
    """
    head, state_names = head_path(spec.head, entry), tuple(names)

    def plan(epoch: int) -> FreezePlan:
        return freeze_plan(spec.freeze, head, state_names, epoch, entry.stages)

    plan(1)  # every pattern is looked at, whatever the epoch
    return plan


def _backbone_state(
    spec: ExperimentSpec, entry: BackboneEntry, shapes: dict[str, tuple[int, ...]]
) -> State:
    try:
        chosen = spec.backbone
        path = locate_weights(entry, chosen.weights, url=chosen.url, sha256=chosen.sha256)
    except WeightsError as error:
        raise WeightsError(f"backbone.weights: {error}") from error
    if path is None:
        return initial_state(shapes, spec.seed, entry.initialization)
    return load_backbone(path, entry, shapes)


def training_plan(spec: ExperimentSpec, entry: BackboneEntry, pictures: Pictures) -> TrainingPlan:
    """Returns what a trainer needs to know of the experiment.

    Raises:
        SpecError: class weights or a single output do not fit the dataset's classes, or the
            backbone has no stages that learning rates could go by.
    """
    check_outputs(spec, len(pictures.classes))
    weights = class_weights(spec.loss, pictures.classes, pictures.train.labels)
    return plan_with(spec, entry, weights)


def check_precision(spec: ExperimentSpec, backend: Backend) -> None:
    """Makes sure that the device can compute in the experiment's precision.

    Raises:
        SpecError: it cannot.
    """
    precisions = backend.precisions()
    if spec.precision not in precisions:
        raise SpecError(
            f"precision: backend '{backend.name}' has no '{spec.precision}' on {backend.device};"
            f" it has: {', '.join(precisions)}."
        )


def check_outputs(spec: ExperimentSpec, classes: int) -> None:
    """Makes sure that the head can tell as many classes apart as the dataset has.

    Raises:
        SpecError: it cannot.
    """
    if spec.head.outputs == "single" and classes != 2:
        raise SpecError(
            "head.outputs: is 'single', which tells two classes apart, but the dataset has"
            f" {classes}: use 'per_class'."
        )


def plan_with(
    spec: ExperimentSpec, entry: BackboneEntry, weights: NDArray[np.float32] | None
) -> TrainingPlan:
    """Returns what a trainer needs to know, with class weights that are known already.

    Raises:
        SpecError: the backbone has no stages that learning rates could go by.
    """
    return TrainingPlan(
        optimizer=spec.optimizer,
        loss=spec.loss.name,
        label_smoothing=spec.loss.label_smoothing,
        class_weights=weights,
        seed=spec.seed,
        precision=spec.precision,
        compile=spec.compile,
        accumulate=spec.accumulate,
        rate_factors=rate_factors(spec.optimizer.lr_decay_per_stage, entry),
        auxiliary=tuple(path.rpartition(".")[0] for path in entry.auxiliary),
        auxiliary_weight=entry.auxiliary_weight,
    )


def rate_factors(decay: float, entry: BackboneEntry) -> dict[str, float]:
    """Returns what learning rates are multiplied by, by the path of a part of the backbone.

    1 for the last stage, which is the head, and for each stage before it once more `decay`.

    Raises:
        SpecError: the backbone has no stages.
    """
    if decay == 1:
        return {}
    if not entry.stages:
        raise SpecError(
            f"optimizer.lr_decay_per_stage: backbone '{entry.name}' names no stages; leave it out."
        )
    return {
        path: decay**number
        for number, paths in enumerate(reversed([*entry.stages.values()]))
        for path in paths
    }

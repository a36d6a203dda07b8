"""Chooses how the predictions of a backbone are explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isotune.errors import SpecError, nearest
from isotune.explaining.grad_cam import GradCAM
from isotune.explaining.method import Method
from isotune.explaining.rollout import AttentionLayer, AttentionRollout
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.names import is_under

HEAD = "head"
"""The last stage, which has no maps."""

WEIGHT, BIAS = ".in_proj_weight", ".in_proj_bias"
"""Ends of the names of an attention layer's projection to queries, keys and values."""

Stages = Mapping[str, Sequence[str]]


def choose_method(
    entry: BackboneEntry, backend: Backend, model: Any, stage: str | None, class_name: str | None
) -> Method:
    """Returns the method for a model: attention rollout for transformers, Grad-CAM for all others.

    Args:
        entry: The model's backbone.
        backend: The model's backend.
        model: The native model.
        stage: A stage of the backbone, or the canonical path of a part of it, for Grad-CAM there;
            None for attention rollout, or for Grad-CAM at the last stage before the head.
        class_name: The class to explain, which only Grad-CAM can; None for the predicted one.

    Raises:
        SpecError: The backbone has no such stage, or none at all, or attention rollout cannot
            explain a class.
    """
    names = list(backend.state_adapter.model_shapes(model))
    stages = {name: paths for name, paths in entry.stages.items() if name != HEAD}
    if stage is None and entry.attention_heads is not None:
        if class_name is not None:
            raise SpecError(
                f"class: is '{class_name}', but attention rollout, which explains {entry.name}, is"
                f" the same for all classes; choose a stage for Grad-CAM besides: one of"
                f" {', '.join(stages)}."
            )
        return _rollout(backend, model, stages, entry.attention_heads)
    if stage is None:
        stage = next(reversed(stages), None)
    if stage in stages:
        parts = [path for path in stages[stage] if path not in names]
        return GradCAM(stage, (parts or stages[stage])[-1])  # without parts: the backend says so
    if stage is not None and any(is_under(stage, name) for name in names):
        return GradCAM(stage, stage)
    raise SpecError(_no_such_stage(entry, stages, names, stage))


def _rollout(backend: Backend, model: Any, stages: Stages, heads: int) -> AttentionRollout:
    state = backend.state_adapter.export_model(model)
    paths = [path for stage in stages.values() for path in stage]
    layers = [
        name.removesuffix(WEIGHT)
        for path in paths
        for name in state
        if is_under(path, name) and name.endswith(WEIGHT)
    ]
    return AttentionRollout(
        tuple(
            AttentionLayer(each, state[each + WEIGHT], state[each + BIAS], heads) for each in layers
        )
    )


def _no_such_stage(
    entry: BackboneEntry, stages: Iterable[str], names: Iterable[str], stage: str | None
) -> str:
    if stages:
        return (
            f"stage: backbone '{entry.name}' has no stage '{stage}'.{nearest(stage or '', stages)}"
            f" Its stages are: {', '.join(stages)}. The path of a part will do as well."
        )
    found = "" if stage is None else f" and has no part '{stage}'"
    head = entry.classifier.split(".")[0]
    outer = dict.fromkeys(name.split(".")[0] for name in names if "." in name)
    parts = ", ".join(part for part in outer if part != head)
    return (
        f"stage: backbone '{entry.name}' names no stages{found}; choose the path of the part whose"
        f" output Grad-CAM looks at. Its outermost parts are: {parts or 'none'}."
    )

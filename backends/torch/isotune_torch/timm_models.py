"""timm's models as backbones: ``timm:NAME``. Importing this file imports timm."""

from __future__ import annotations

from typing import Any, get_args

import timm

from isotune.errors import BackendError, nearest
from isotune.interfaces.backbone import (
    BackboneEntry,
    Interpolation,
    Preprocessing,
    PublishedWeights,
)
from isotune.interfaces.dataset import Normalization

WEIGHTS = "model.safetensors"
"""The file of a model on the Hugging Face Hub."""


def entry(model: str) -> BackboneEntry:
    """Returns what timm says of a model, which may have a tag: ``resnet50.a1_in1k``.

    Raises:
        BackendError: there is none of that name, or it has not one linear classifier.
    """
    architecture = model.partition(".")[0]
    if not timm.is_model(architecture):
        near = nearest(architecture, timm.list_models())
        raise BackendError(f"timm {timm.__version__} has no model '{architecture}'.{near}")
    config = _config(model)
    if config is None:
        tags = ", ".join(timm.list_pretrained(f"{architecture}.*")) or "none"
        raise BackendError(f"timm has no weights '{model}'. It has: {tags}.")
    if not isinstance(config.classifier, str):
        raise BackendError(f"timm's '{model}' has not one classifier, but {config.classifier}.")
    size = config.input_size[-1]
    if config.interpolation not in get_args(Interpolation):
        raise BackendError(
            f"timm's '{model}' resizes by '{config.interpolation}', which no transform does."
        )
    license = None if config.license == "unknown" else config.license
    weights = PublishedWeights(WEIGHTS, sha256="", hub=config.hf_hub_id, license=license)
    return BackboneEntry(
        name=f"timm:{model}",
        classifier=config.classifier,
        block=config.classifier,
        weights={"imagenet": weights} if config.hf_hub_id else {},
        preprocessing=Preprocessing(
            Normalization(tuple(config.mean), tuple(config.std)),
            input_size=size,
            resize_size=int(size / config.crop_pct),
            interpolation=config.interpolation,
        ),
        min_input_size=size if config.fixed_input_size else 1,
        max_input_size=size if config.fixed_input_size else None,
        library="timm",
        library_model=model,
        family="timm",
    )


def build(model: str) -> Any:
    """Returns the model without pretrained weights."""
    return timm.create_model(model, pretrained=False)


def _config(model: str) -> Any:
    """Returns what timm says of a model's weights, or None if it knows no such weights."""
    try:
        return timm.get_pretrained_cfg(model, allow_unregistered=False)
    except RuntimeError:  # a tag that the architecture does not have
        return None

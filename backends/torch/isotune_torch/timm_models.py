"""timm's models as backbones: ``timm:NAME``. Importing this file imports timm.

As an attribute of this module, a model's name is what builds it, as ``BackboneEntry.builders``
needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
from torch import nn

from isotune.errors import BackendError, WeightsError, nearest
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
    interpolation: Interpolation = "bilinear" if config.interpolation == "bilinear" else "bicubic"
    builder = {"torch": f"{__name__}:{model}"}
    return BackboneEntry(
        name=f"timm:{model}",
        classifier=config.classifier,
        block=config.classifier,
        weights={"imagenet": _weights(model)} if config.hf_hub_id else {},
        preprocessing=Preprocessing(
            Normalization(tuple(config.mean), tuple(config.std)),
            input_size=size,
            resize_size=int(size / config.crop_pct),
            interpolation=interpolation,
        ),
        min_input_size=size if config.fixed_input_size else 1,
        max_input_size=size if config.fixed_input_size else None,
        builders=builder,
        family="timm",
    )


def download(model: str) -> Path:
    """Returns the file of a model's weights, downloaded if it is not there.

    It is kept where Hugging Face's library keeps files, which checks them.

    Raises:
        WeightsError: it cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    config = timm.get_pretrained_cfg(model)
    try:
        return Path(hf_hub_download(config.hf_hub_id, WEIGHTS))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{config.hf_hub_id} was not downloaded: {reason}") from error


def _config(model: str) -> Any:
    """Returns what timm says of a model's weights, or None if it knows no such weights."""
    try:
        return timm.get_pretrained_cfg(model, allow_unregistered=False)
    except RuntimeError:  # a tag that the architecture does not have
        return None


def _weights(model: str) -> PublishedWeights:
    return PublishedWeights(WEIGHTS, sha256="", locator=f"{__name__}:download", argument=model)


def __getattr__(name: str) -> Callable[[], nn.Module]:
    if not timm.is_model(name.partition(".")[0]):
        raise AttributeError(name)
    return partial(_build, name)


def _build(name: str) -> Any:
    return timm.create_model(name, pretrained=False)

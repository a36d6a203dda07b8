"""The backbone of a spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from isotune.spec.base import SpecModel
from isotune.spec.values import AsFileName, Digest, Url


class BackboneSpec(SpecModel):
    """Which pretrained model.

    Attributes:
        name: A name that ``isotune backbones`` lists, or one of a library, as in
            ``timm:resnet18``.
        weights: ``imagenet`` (or another published name), ``none``, ``own`` (those of a model that
            a plugin or a program builds), or the path of a file:
            absolute, relative to the spec's file or the working directory, or under
            ``$ISOTUNE_HOME/weights``.
        url: Address to download the file of `weights` from if it does not exist; it is stored
            under that name in ``$ISOTUNE_HOME/weights``.
        sha256: First digits, at least 8, of the SHA-256 of that download.
        prefix: What the names of the wanted tensors begin with, if the file holds several models
            that fit, as in ``state_dict_ema`` or ``teacher.backbone``; null finds the model.
    """

    name: str
    weights: Annotated[str, Field(min_length=1), AsFileName] = "imagenet"
    url: Url | None = None
    sha256: Digest | None = None
    prefix: Annotated[str, Field(min_length=1)] | None = None

"""What a run keeps so as not to compute it again; only `views` changes what is computed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from isotune.spec.base import SpecModel

Mebibytes = Annotated[int, Field(ge=0)]


class CacheSpec(SpecModel):
    """What a run keeps so as not to compute it again.

    Attributes:
        images: ``auto`` keeps decoded images, transformed as far as that is not random,
            where they come from files; ``off`` decodes them anew in every epoch.
        memory: MiB of their pixels that are kept in memory; and a quarter as much of features.
        disk: MiB of those that memory has no room for, kept in a temporary file; and as much
            of features, which later runs find again in ``$ISOTUNE_HOME/cache/features``.
        features: ``auto``: while all layers before the classifier are frozen, they run apart from
            it, in evaluation, and what comes out of them is kept where it will be the same
            again, unless precision is ``fp16`` and layers are unfrozen later; ``off``: every
            step runs all layers.
        views: with random transforms, how many different views of a training image there are:
            epoch e, from 0, takes that of epoch e modulo `views`, so that its features are kept.
            None takes a new view in every epoch.
    """

    images: Literal["auto", "off"] = "auto"
    memory: Mebibytes = 1024
    disk: Mebibytes = 8192
    features: Literal["auto", "off"] = "auto"
    views: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _earlier_name(cls, data: Any) -> Any:
        """Takes ``pictures``, as specs of Isotune 0.1.0 have it, for ``images``."""
        if isinstance(data, dict) and "pictures" in data and "images" not in data:
            return {"images" if key == "pictures" else key: value for key, value in data.items()}
        return data

    @model_validator(mode="after")
    def _views_are_kept_as_features(self) -> CacheSpec:
        if self.views is not None and self.features == "off":
            raise ValueError("views needs features: auto, but features is 'off'")
        return self

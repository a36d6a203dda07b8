"""What a run caches. Only `views` changes results."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from isotune.spec.base import SpecModel

Mebibytes = Annotated[int, Field(ge=0)]


class CacheSpec(SpecModel):
    """What a run caches to save time. Results stay the same, except with `views`.

    Attributes:
        images: ``auto`` caches decoded images, after the transforms before the first random one,
            unless the format is as fast without; ``off`` decodes images in every epoch.
        memory: MiB of memory for pixels, and a quarter as much for features; this and `disk` are
            what the processes of a machine have together.
        disk: MiB on disk for pixels that do not fit in memory, in a temporary file; and as much
            for features, which later runs find in ``$ISOTUNE_HOME/cache/features``. Several
            processes find the training images that each of them has decoded on disk only.
        features: ``auto``: while all layers before the classifier are frozen, they run in
            evaluation mode, and their outputs are cached if they will be needed again, unless
            precision is ``fp16`` and layers are unfrozen later; ``off``: every step runs all
            layers.
        views: Number of different views of a training image under random transforms: epoch e,
            from 0, repeats that of epoch e modulo `views`, so that its features can be cached.
            null draws a new view in every epoch.
    """

    images: Literal["auto", "off"] = "auto"
    memory: Mebibytes = 1024
    disk: Mebibytes = 8192
    features: Literal["auto", "off"] = "auto"
    views: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _earlier_name(cls, data: Any) -> Any:
        """Reads ``pictures``, the name in Isotune 0.1.0, as ``images``."""
        if isinstance(data, dict) and "pictures" in data and "images" not in data:
            return {"images" if key == "pictures" else key: value for key, value in data.items()}
        return data

    @model_validator(mode="after")
    def _views_are_kept_as_features(self) -> CacheSpec:
        if self.views is not None and self.features == "off":
            raise ValueError("views needs features: auto, but features is 'off'")
        return self

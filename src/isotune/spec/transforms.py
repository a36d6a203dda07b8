"""The transforms of a spec: torchvision's, with torchvision's names for their options.

In YAML a pipeline is a list. An item is a name (``random_horizontal_flip``), a name with its
main option (``resize: 256``) or a name with several (``resize: {size: 256, max_size: 400}``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Union, get_args

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from isotune.errors import nearest
from isotune.spec.base import SpecModel
from isotune.spec.transform_options import (
    Areas,
    Degrees,
    Fill,
    HueJitter,
    Interpolation,
    Jitter,
    MaxSize,
    Padding,
    PaddingMode,
    Probability,
    Ratios,
    RotationInterpolation,
    Size,
)


class TransformSpec(SpecModel):
    """A transform.

    Attributes:
        main: the option that may be given alone.
        bare: whether even that may be left out.
        random: whether it draws numbers.
    """

    main: ClassVar[str]
    bare: ClassVar[bool] = False
    random: ClassVar[bool] = True

    def output(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Returns (height, width) after the transform, or None where the image decides.

        Args:
            size: (height, width) before the transform, None when the image decides.
        """
        return size


class ToSizeSpec(TransformSpec):
    """A transform that ends in a fixed size: a number of pixels for a square, [height, width]."""

    main = "size"
    size: Size

    def output(self, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """Returns (height, width) after the transform."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


class ResizeSpec(TransformSpec):
    """``Resize``: to [height, width], or the shorter side to `size`; always antialiased."""

    main = "size"
    random = False
    name: Literal["resize"] = "resize"
    size: Size
    interpolation: Interpolation = "bilinear"
    max_size: MaxSize = None

    @model_validator(mode="after")
    def _max_size_bounds_the_longer_side(self) -> ResizeSpec:
        if self.max_size is not None and not isinstance(self.size, int):
            raise ValueError("max_size goes with a size that is one number, not [height, width]")
        if isinstance(self.size, int) and self.max_size is not None and self.max_size <= self.size:
            raise ValueError(f"max_size {self.max_size} must be above size {self.size}")
        return self

    def output(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Returns (height, width) after the transform; fractions of a pixel are cut off."""
        if not isinstance(self.size, int):
            return self.size
        if size is None:
            return None
        short, long = self.size, int(self.size * max(size) / min(size))
        if self.max_size is not None and long > self.max_size:
            short, long = int(self.max_size * short / long), self.max_size
        return (long, short) if size[1] <= size[0] else (short, long)


class CenterCropSpec(ToSizeSpec):
    """``CenterCrop``; an image that is too small gets a black border."""

    random = False
    name: Literal["center_crop"] = "center_crop"


class RandomCropSpec(ToSizeSpec):
    """``RandomCrop``: a window anywhere in the padded image. `fill` is for constant padding."""

    name: Literal["random_crop"] = "random_crop"
    padding: Padding = 0
    padding_mode: PaddingMode = "constant"
    fill: Fill = 0
    pad_if_needed: bool = False


class RandomResizedCropSpec(ToSizeSpec):
    """``RandomResizedCrop``: a window of random area and shape, resized."""

    name: Literal["random_resized_crop"] = "random_resized_crop"
    scale: Areas = (0.08, 1.0)
    ratio: Ratios = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bilinear"


class RandomHorizontalFlipSpec(TransformSpec):
    """``RandomHorizontalFlip``: left and right swapped with probability `p`."""

    main = "p"
    bare = True
    name: Literal["random_horizontal_flip"] = "random_horizontal_flip"
    p: Probability = 0.5


class RandomVerticalFlipSpec(TransformSpec):
    """``RandomVerticalFlip``: top and bottom swapped with probability `p`."""

    main = "p"
    bare = True
    name: Literal["random_vertical_flip"] = "random_vertical_flip"
    p: Probability = 0.5


class ColorJitterSpec(TransformSpec):
    """``ColorJitter``: factors around 1 (hue: a shift around 0), applied in random order."""

    main = "brightness"
    name: Literal["color_jitter"] = "color_jitter"
    brightness: Jitter = 0.0
    contrast: Jitter = 0.0
    saturation: Jitter = 0.0
    hue: HueJitter = 0.0


class RotationSpec(TransformSpec):
    """``RandomRotation``: counter-clockwise about the center, by up to `degrees` either way."""

    main = "degrees"
    name: Literal["rotation"] = "rotation"
    degrees: Degrees
    interpolation: RotationInterpolation = "nearest"
    expand: bool = False
    fill: Fill = 0

    def output(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Returns (height, width) after the transform."""
        return None if self.expand else size


_Transform = Union[
    ResizeSpec,
    CenterCropSpec,
    RandomCropSpec,
    RandomResizedCropSpec,
    RandomHorizontalFlipSpec,
    RandomVerticalFlipSpec,
    ColorJitterSpec,
    RotationSpec,
]
TRANSFORMS: dict[str, type[TransformSpec]] = {
    kind.model_fields["name"].default: kind for kind in get_args(_Transform)
}
"""The transforms by name."""


def _spell_out(item: Any) -> Any:
    """Returns the mapping of all options, ``name`` among them, that an item of YAML stands for."""
    if isinstance(item, TransformSpec):
        return item
    if isinstance(item, str):
        name, value = item, None
    elif isinstance(item, Mapping) and "name" in item:
        name, value = item["name"], {key: item[key] for key in item if key != "name"}
    elif isinstance(item, Mapping) and len(item) == 1:
        name, value = next(iter(item.items()))
    else:
        raise ValueError("should be 'NAME', 'NAME: VALUE' or 'NAME: {OPTION: VALUE, ...}'")
    if not isinstance(name, str) or name not in TRANSFORMS:
        guess = nearest(str(name), TRANSFORMS)
        raise ValueError(
            f"there is no transform {name!r}.{guess} Known are: {', '.join(TRANSFORMS)}"
        )
    return {**_options(name, value), "name": name}


def _options(name: str, value: Any) -> dict[str, Any]:
    kind = TRANSFORMS[name]
    if isinstance(value, Mapping):
        return dict(value)
    if value is not None:
        return {kind.main: value}
    if not kind.bare:
        raise ValueError(f"{name} needs its {kind.main}, as in '{name}: VALUE'")
    return {}


class _Shorthands:
    """Adds the short forms to the JSON Schema of a transform."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        mappings, full = {}, []
        for reference in handler(schema)["oneOf"]:
            fields = handler.resolve_ref_schema(reference)["properties"]
            name = fields["name"]["const"]
            main = fields[TRANSFORMS[name].main]
            null = [{"type": "null"}] if TRANSFORMS[name].bare else []
            mappings[name] = {"anyOf": [main, *null, reference]}
            full.append({"allOf": [reference], "required": ["name"]})
        bare = [name for name, kind in TRANSFORMS.items() if kind.bare]
        single = {
            "type": "object",
            "properties": mappings,
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
        return {"anyOf": [{"enum": bare}, single, *full]}


def _as_tuple(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ValueError("should be a list of transforms")
    return tuple(value)


Transform = Annotated[
    _Transform, Field(discriminator="name"), BeforeValidator(_spell_out), _Shorthands()
]
Pipeline = Annotated[tuple[Transform, ...], BeforeValidator(_as_tuple)]
"""A list of transforms, applied in order; the short forms of YAML are accepted."""


def output_size(pipeline: tuple[TransformSpec, ...]) -> tuple[int, int] | None:
    """Returns the (height, width) that every image ends in, or None when it depends on it."""
    size = None
    for transform in pipeline:
        size = transform.output(size)
    return size

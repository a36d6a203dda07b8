"""The transforms of a spec: torchvision's, with torchvision's names for their options.

In YAML a pipeline is a list. An item is a name (``random_horizontal_flip``), a name with its
main option (``resize: 256``) or a name with several (``resize: {size: 256, max_size: 400}``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Union, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from isotune.errors import nearest
from isotune.spec.base import SpecModel


def _meaning(sentence: str) -> WrapValidator:
    """Takes a list for a tuple, and tells in one sentence what a wrong value should be."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(tuple(value) if isinstance(value, list) else value)
        except ValidationError:
            raise ValueError(f"must be {sentence}, not {value!r}") from None

    return WrapValidator(validate)


def _one_of(*names: str) -> BeforeValidator:
    def validate(value: Any) -> Any:
        if value not in names:
            allowed = ", ".join(names)
            raise ValueError(
                f"must be one of {allowed}, not {value!r}.{nearest(str(value), names)}"
            )
        return value

    return BeforeValidator(validate)


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first number is above the second")
    return pair


_Pixels = Annotated[int, Field(gt=0)]
_Border = Annotated[int, Field(ge=0)]
_Level = Annotated[int, Field(ge=0, le=255)]
_Share = Annotated[float, Field(gt=0, le=1)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Hue = Annotated[float, Field(ge=-0.5, le=0.5)]
_NotNegatives = Annotated[tuple[_NotNegative, _NotNegative], AfterValidator(_ascending)]
_Hues = Annotated[tuple[_Hue, _Hue], AfterValidator(_ascending)]
_Finites = Annotated[tuple[_Finite, _Finite], AfterValidator(_ascending)]

Size = Annotated[
    Union[_Pixels, tuple[_Pixels, _Pixels]],
    _meaning("a whole number of pixels above 0, or [height, width]"),
]
Padding = Annotated[
    Union[_Border, tuple[_Border, _Border], tuple[_Border, _Border, _Border, _Border]],
    _meaning("whole pixels: N, [left and right, top and bottom] or [left, top, right, bottom]"),
]
Fill = Annotated[
    Union[_Level, tuple[_Level, _Level, _Level]],
    _meaning("a level from 0 to 255, or [red, green, blue]"),
]
Probability = Annotated[float, Field(ge=0, le=1), _meaning("a probability from 0 to 1")]
Areas = Annotated[
    tuple[_Share, _Share],
    AfterValidator(_ascending),
    _meaning("[smallest, largest], shares of the picture's area above 0 and up to 1"),
]
Ratios = Annotated[
    tuple[_Positive, _Positive],
    AfterValidator(_ascending),
    _meaning("[smallest, largest] width over height, above 0"),
]
Degrees = Annotated[
    Union[_NotNegative, _Finites],
    _meaning("a number of degrees not below 0, or [smallest, largest]"),
]
Jitter = Annotated[
    Union[_NotNegative, _NotNegatives],
    _meaning("a number not below 0, or [smallest, largest] of the factor"),
]
HueJitter = Annotated[
    Union[Annotated[float, Field(ge=0, le=0.5)], _Hues],
    _meaning("a number from 0 to 0.5, or [smallest, largest] between -0.5 and 0.5"),
]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


class TransformSpec(SpecModel):
    """A transform.

    Attributes:
        main: the option that may be given alone.
        random: whether it draws numbers.
    """

    main: ClassVar[str]
    random: ClassVar[bool] = True

    def output(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """Returns (height, width) after the transform, or None where the picture decides.

        Args:
            size: (height, width) before the transform, None when the picture decides.
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
    interpolation: Annotated[Interpolation, _one_of(*get_args(Interpolation))] = "bilinear"
    max_size: Annotated[Union[_Pixels, None], _meaning("a whole number of pixels above 0")] = None

    @model_validator(mode="after")
    def _max_size_bounds_the_longer_side(self) -> ResizeSpec:
        if self.max_size is not None and not isinstance(self.size, int):
            raise ValueError("max_size goes with a size that is one number, not [height, width]")
        if self.max_size is not None and self.max_size <= min(self.size, self.max_size):
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
    """``CenterCrop``; a picture that is too small gets a black border."""

    random = False
    name: Literal["center_crop"] = "center_crop"


class RandomCropSpec(ToSizeSpec):
    """``RandomCrop``: a window anywhere in the padded picture. `fill` is for constant padding."""

    name: Literal["random_crop"] = "random_crop"
    padding: Padding = 0
    padding_mode: Annotated[
        Literal["constant", "edge", "reflect", "symmetric"],
        _one_of("constant", "edge", "reflect", "symmetric"),
    ] = "constant"
    fill: Fill = 0
    pad_if_needed: bool = False


class RandomResizedCropSpec(ToSizeSpec):
    """``RandomResizedCrop``: a window of random area and shape, resized."""

    name: Literal["random_resized_crop"] = "random_resized_crop"
    scale: Areas = (0.08, 1.0)
    ratio: Ratios = (3 / 4, 4 / 3)
    interpolation: Annotated[Interpolation, _one_of(*get_args(Interpolation))] = "bilinear"


class RandomHorizontalFlipSpec(TransformSpec):
    """``RandomHorizontalFlip``: left and right swapped with probability `p`."""

    main = "p"
    name: Literal["random_horizontal_flip"] = "random_horizontal_flip"
    p: Probability = 0.5


class RandomVerticalFlipSpec(TransformSpec):
    """``RandomVerticalFlip``: top and bottom swapped with probability `p`."""

    main = "p"
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
    """``RandomRotation``: counter-clockwise about the centre, by up to `degrees` either way."""

    main = "degrees"
    name: Literal["rotation"] = "rotation"
    degrees: Degrees
    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic"], _one_of("nearest", "bilinear", "bicubic")
    ] = "nearest"
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
        raise ValueError(f"a transform is a name or one 'name: value', not {item!r}")
    if not isinstance(name, str) or name not in TRANSFORMS:
        allowed = ", ".join(TRANSFORMS)
        guess = nearest(str(name), TRANSFORMS)
        raise ValueError(f"there is no transform {name!r}.{guess} Allowed: {allowed}.")
    return {"name": name, **_options(name, value)}


def _options(name: str, value: Any) -> Mapping[str, Any]:
    kind = TRANSFORMS[name]
    if not isinstance(value, Mapping):
        value = {} if value is None else {kind.main: value}
    allowed = [field for field in kind.model_fields if field != "name"]
    for key in value:
        if key not in allowed:
            guess = nearest(str(key), allowed)
            raise ValueError(f"{name} has no option {key!r}.{guess} It has: {', '.join(allowed)}.")
    if kind.model_fields[kind.main].is_required() and kind.main not in value:
        raise ValueError(f"{name} needs its {kind.main}, as in '{name}: VALUE'")
    return value


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
            mappings[name] = {"anyOf": [main, reference]}
            full.append({"allOf": [reference], "required": ["name"]})
        bare = [
            name
            for name, kind in TRANSFORMS.items()
            if not kind.model_fields[kind.main].is_required()
        ]
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
        raise ValueError(f"must be a list of transforms, not {value!r}")
    return tuple(value)


Transform = Annotated[
    _Transform, Field(discriminator="name"), BeforeValidator(_spell_out), _Shorthands()
]
Pipeline = Annotated[tuple[Transform, ...], BeforeValidator(_as_tuple)]
"""A list of transforms, applied in order; the short forms of YAML are accepted."""


def output_size(pipeline: tuple[TransformSpec, ...]) -> tuple[int, int] | None:
    """Returns the (height, width) that every picture ends in, or None when it depends on it."""
    size = None
    for transform in pipeline:
        size = transform.output(size)
    return size

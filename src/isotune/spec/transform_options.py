"""The values that options of transforms take, each with the sentence that says what is right."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from isotune.errors import nearest


def _meaning(sentence: str) -> WrapValidator:
    """Takes a list for a tuple, and tells in one sentence what a wrong value should be."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(tuple(value) if isinstance(value, list) else value)
        except ValidationError:
            raise ValueError(f"should be {sentence}") from None

    return WrapValidator(validate)


def _one_of(*names: str) -> BeforeValidator:
    def validate(value: Any) -> Any:
        if value not in names:
            guess = nearest(str(value), names)
            raise ValueError(f"should be one of {', '.join(names)}.{guess}")
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
    _meaning("[smallest, largest], shares of the image's area above 0 and up to 1"),
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
MaxSize = Annotated[Union[_Pixels, None], _meaning("a whole number of pixels above 0")]
Interpolation = Annotated[
    Literal["nearest", "bilinear", "bicubic", "lanczos"],
    _one_of("nearest", "bilinear", "bicubic", "lanczos"),
]
RotationInterpolation = Annotated[
    Literal["nearest", "bilinear", "bicubic"], _one_of("nearest", "bilinear", "bicubic")
]
PaddingMode = Annotated[
    Literal["constant", "edge", "reflect", "symmetric"],
    _one_of("constant", "edge", "reflect", "symmetric"),
]

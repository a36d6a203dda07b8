"""Types of the options of transforms, each with the sentence that says what a value should be."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from isotune.errors import nearest
from isotune.spec.base import Meaning
from isotune.spec.values import Finite, NotNegative, Positive


def _one_of(literal: Any) -> BeforeValidator:
    names = get_args(literal)

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


def _odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("is even")
    return number


def _two_ascending(four: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    _ascending(four[:2])
    _ascending(four[2:])
    return four


_Pixels = Annotated[int, Field(gt=0)]
_OddPixels = Annotated[int, Field(gt=0), AfterValidator(_odd)]
_Border = Annotated[int, Field(ge=0)]
_Level = Annotated[int, Field(ge=0, le=255)]
_Share = Annotated[float, Field(gt=0, le=1)]
_ShareOrNone = Annotated[float, Field(ge=0, le=1)]
_Hue = Annotated[float, Field(ge=-0.5, le=0.5)]
_NotNegatives = Annotated[tuple[NotNegative, NotNegative], AfterValidator(_ascending)]
_Hues = Annotated[tuple[_Hue, _Hue], AfterValidator(_ascending)]
_Finites = Annotated[tuple[Finite, Finite], AfterValidator(_ascending)]
_FourFinites = Annotated[tuple[Finite, Finite, Finite, Finite], AfterValidator(_two_ascending)]
_Positives = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]

Size = Annotated[
    Union[_Pixels, tuple[_Pixels, _Pixels]],
    Meaning("a whole number of pixels above 0, or [height, width]"),
]
Padding = Annotated[
    Union[_Border, tuple[_Border, _Border], tuple[_Border, _Border, _Border, _Border]],
    Meaning("whole pixels: N, [left and right, top and bottom] or [left, top, right, bottom]"),
]
Fill = Annotated[
    Union[_Level, tuple[_Level, _Level, _Level]],
    Meaning("a level from 0 to 255, or [red, green, blue]"),
]
Probability = Annotated[float, Field(ge=0, le=1), Meaning("a probability from 0 to 1")]
Areas = Annotated[
    tuple[_Share, _Share],
    AfterValidator(_ascending),
    Meaning("[smallest, largest], shares of the image's area above 0 and up to 1"),
]
Ratios = Annotated[_Positives, Meaning("[smallest, largest] ratio, above 0")]
Degrees = Annotated[
    Union[NotNegative, _Finites],
    Meaning("a number of degrees not below 0, or [smallest, largest]"),
]
Share = Annotated[float, Field(ge=0, le=1), Meaning("a share from 0 to 1")]
Translation = Annotated[
    Union[_ShareOrNone, tuple[_ShareOrNone, _ShareOrNone]],
    Meaning("a share from 0 to 1, or [of the width, of the height]"),
]
Factors = Annotated[_Positives, Meaning("[smallest, largest] factor above 0")]
Shear = Annotated[
    Union[NotNegative, _Finites, _FourFinites],
    Meaning(
        "a number of degrees not below 0, [smallest, largest] along the x axis, or these two of the"
        " x axis and two of the y axis"
    ),
]
KernelSize = Annotated[
    Union[_OddPixels, tuple[_OddPixels, _OddPixels]],
    Meaning("an odd number of pixels, or [across, down]"),
]
Sigma = Annotated[
    Union[Positive, _Positives], Meaning("a number of pixels above 0, or [smallest, largest]")
]
Erased = Annotated[
    Union[_Level, tuple[_Level, _Level, _Level], Literal["random"]],
    Meaning("a level from 0 to 255, [red, green, blue] or random"),
]
Jitter = Annotated[
    Union[NotNegative, _NotNegatives],
    Meaning("a number not below 0, or [smallest, largest] of the factor"),
]
HueJitter = Annotated[
    Union[Annotated[float, Field(ge=0, le=0.5)], _Hues],
    Meaning("a number from 0 to 0.5, or [smallest, largest] between -0.5 and 0.5"),
]
Bins = Annotated[
    Annotated[int, Field(ge=2, le=1000)], Meaning("a whole number of magnitudes from 2 to 1000")
]
Bin = Annotated[Annotated[int, Field(ge=0)], Meaning("a whole number not below 0")]
OperationCount = Annotated[
    Annotated[int, Field(ge=1, le=100)], Meaning("a whole number of operations from 1 to 100")
]
MaxSize = Annotated[Union[_Pixels, None], Meaning("a whole number of pixels above 0")]
_Filter = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_WarpFilter = Literal["nearest", "bilinear", "bicubic"]
_Mode = Literal["constant", "edge", "reflect", "symmetric"]
Interpolation = Annotated[_Filter, _one_of(_Filter)]
WarpInterpolation = Annotated[_WarpFilter, _one_of(_WarpFilter)]
PaddingMode = Annotated[_Mode, _one_of(_Mode)]


def between(option: float | tuple[float, float]) -> tuple[float, float]:
    """Returns the bounds that an option stands for; one number stands for [-number, number]."""
    return option if isinstance(option, tuple) else (-option, option)


def rgb(fill: int | tuple[int, int, int]) -> tuple[int, int, int]:
    """Returns red, green and blue of a `fill` option."""
    return (fill, fill, fill) if isinstance(fill, int) else fill

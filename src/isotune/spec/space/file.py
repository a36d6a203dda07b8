"""What the file of a search space may say of a field: a range of numbers, or choices."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Union

from pydantic import AfterValidator, Field, RootModel, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from isotune.spec.base import Meaning, SpecModel

KEYS = frozenset({"low", "high", "choices"})
"""Keys of a mapping that varies inside of a choice. No field of a spec has these names."""

MOST_STEPS = 1_000_000
"""Bound on the number of steps of a range."""

LARGEST = 10**300
"""Bound on all numbers, so that those between them are finite, too."""

Number = Annotated[
    Union[
        Annotated[int, Field(ge=-LARGEST, le=LARGEST)],
        Annotated[float, Field(allow_inf_nan=False, ge=-1e300, le=1e300)],
    ],
    Meaning("a finite number"),
]


class RangeSpec(SpecModel):
    """Numbers between two ends, whole ones if the field takes no others.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Whether to search on a logarithmic scale.
        step: Distance between neighboring values, counted from `low`; null for any value.
    """

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @model_validator(mode="after")
    def _can_be_searched(self) -> RangeSpec:
        if self.low >= self.high:
            raise ValueError(f"low, {self.low}, should be below high, {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low should be above 0 on a logarithmic scale, not {self.low}")
        if self.step is None:
            return self
        if self.log:
            raise ValueError("has a step and a logarithmic scale; leave one of them out")
        if self.step <= 0:
            raise ValueError(f"step should be above 0, not {self.step}")
        low, high, step = (Decimal(str(each)) for each in (self.low, self.high, self.step))
        if high - low > MOST_STEPS * step:
            raise ValueError(f"step is {self.step}, which makes more than {MOST_STEPS:,} steps")
        if (high - low) % step:
            last = low + (high - low) // step * step
            raise ValueError(
                f"high should be whole steps above low, such as {last + step}, not {high}"
            )
        return self


def _inside(value: Any) -> Any:
    """Returns a value inside of a choice, with what varies in it as :data:`Domain`."""
    if not isinstance(value, dict):
        return value
    return _domain(value) if KEYS & value.keys() else _MAPPING.validate_python(value)


def _choice(value: Any) -> Any:
    return _MAPPING.validate_python(value) if isinstance(value, dict) else value


_MAPPING = TypeAdapter(dict[str, Annotated[Any, AfterValidator(_inside)]])


class ChoicesSpec(SpecModel):
    """Several values.

    Attributes:
        choices: Any values that the field takes. A mapping may hold ranges and choices.
    """

    choices: Annotated[
        list[Annotated[Any, AfterValidator(_choice)]], Field(min_length=1, max_length=1000)
    ]


Domain = Union[RangeSpec, ChoicesSpec]


def _domain(value: Any) -> Domain:
    if isinstance(value, list):
        return ChoicesSpec(choices=value)
    if not isinstance(value, dict):
        meaning = "a list of choices or a range such as {low: 0.1, high: 0.5}"
        raise PydanticCustomError("meaning", "should be {meaning}", {"meaning": meaning})
    kind = ChoicesSpec if "choices" in value else RangeSpec
    return kind.model_validate(value)


class SpaceFile(RootModel[Any]):
    """A search space's file: a range or choices for each field, by its name."""

    root: Annotated[
        dict[str, Annotated[Any, AfterValidator(_domain)]], Field(min_length=1, max_length=100)
    ]

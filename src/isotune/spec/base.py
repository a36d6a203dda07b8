"""What all parts of a spec share: strictness, the check of keys, shorthands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class SpecModel(BaseModel):
    """A part of a spec: unknown keys are errors, values are taken as they are, never coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any) -> Any:
        """Refuses unknown keys before missing ones are noticed: most are typos of those."""
        if isinstance(data, dict):
            unknown = [str(key) for key in data if key not in cls.model_fields]
            if unknown:
                raise PydanticCustomError(
                    "unknown_keys",
                    "has unknown keys: {keys}; allowed are: {allowed}",
                    {"keys": unknown, "allowed": list(cls.model_fields)},
                )
        return data


@dataclass(frozen=True)
class Shorthand:
    """Annotation: where a mapping is meant, a bare value stands for ``{key: value}``."""

    key: str
    json_types: tuple[str, ...] = ("string",)

    def expand(self, value: Any) -> Any:
        """Turns the short form into the long one; anything else passes."""
        short = isinstance(value, str) or ("array" in self.json_types and isinstance(value, list))
        return {self.key: value} if short else value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [*({"type": name} for name in self.json_types), handler(schema)]}


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


AsTuple = BeforeValidator(_as_tuple)
"""Annotation: takes YAML's list for a tuple, which strictness would refuse."""


def meaning(sentence: str) -> WrapValidator:
    """Annotation: says in words what a value should be, where pydantic would show a pattern."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("meaning", "{meaning}", {"meaning": sentence}) from None

    return WrapValidator(validate)

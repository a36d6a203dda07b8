"""What all parts of a spec share: strict models, the check of keys, short forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import isabstract
from typing import Any, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from isotune.spec.registry import Registry


class SpecModel(BaseModel):
    """A part of a spec: unknown keys are errors, and values are never coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any) -> Any:
        """Refuses unknown keys before missing ones are reported: most are typos of those."""
        if isinstance(data, dict):
            unknown = [str(key) for key in data if key not in cls.model_fields]
            if unknown:
                raise PydanticCustomError(
                    "unknown_keys",
                    "has unknown keys: {keys}; allowed are: {allowed}",
                    {"keys": unknown, "allowed": list(cls.model_fields)},
                )
        return data


ModelT = TypeVar("ModelT", bound=SpecModel)


def model_registry(noun: str, base: type[ModelT], field: str) -> Registry[type[ModelT]]:
    """Returns a registry of the concrete models that derive from `base`.

    Args:
        noun: What a kind is called in messages.
        base: The model that all kinds derive from.
        field: The field, a ``Literal`` of one string, that holds a kind's name.
    """

    def accepts(value: object) -> bool:
        return isinstance(value, type) and issubclass(value, base) and not isabstract(value)

    return Registry(noun, accepts, lambda kind: literal(kind, field))


def literal(kind: type[SpecModel], field: str) -> str:
    """Returns the only value of a ``Literal`` field.

    Raises:
        TypeError: The field is not a ``Literal`` of one string.
    """
    values = get_args(kind.model_fields[field].annotation) if field in kind.model_fields else ()
    if len(values) != 1 or not isinstance(values[0], str):
        raise TypeError(f"{kind.__qualname__}.{field} should be a Literal of one string")
    return values[0]


def schema_reference(kind: type[SpecModel], handler: GetJsonSchemaHandler) -> dict[str, Any]:
    """Returns a reference to the JSON Schema of `kind`, which becomes one of the definitions."""
    # Given the kind's own schema, the handler would return its JSON Schema, not a reference.
    return handler(core_schema.definitions_schema(kind.__pydantic_core_schema__, []))


@dataclass(frozen=True)
class Shorthand:
    """Annotation: where a mapping is expected, a bare value stands for ``{key: value}``."""

    key: str
    json_types: tuple[str, ...] = ("string",)

    def expand(self, value: Any) -> Any:
        """Returns the long form of the short form; any other value is returned unchanged."""
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


@dataclass(frozen=True)
class KindOf:
    """Annotation: one of a registry's models, whose name a mapping holds in `field`.

    As pydantic's discriminated unions, of kinds that are only known when the first one is loaded.
    """

    registry: Registry[type[Any]]
    field: str

    def load(self, value: Any) -> Any:
        """Returns the model that a mapping stands for; any other value is returned unchanged."""
        if not isinstance(value, Mapping):
            return value
        discriminator = f"'{self.field}'"
        if self.field not in value:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": discriminator})
        kind = self.registry.find(value[self.field])
        if kind is None:
            raise PydanticKnownError(
                "union_tag_invalid",
                {
                    "discriminator": discriminator,
                    "tag": str(value[self.field]),
                    "expected_tags": ", ".join(self.registry.names()),
                },
            )
        return kind.model_validate(value)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.load, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        references = {name: schema_reference(kind, handler) for name, kind in self.registry.items()}
        mapping = {name: reference["$ref"] for name, reference in references.items()}
        return {
            "discriminator": {"propertyName": self.field, "mapping": mapping},
            "oneOf": [*references.values()],
        }


def as_tuple(value: Any) -> Any:
    """Returns a list as a tuple, any other value unchanged."""
    return tuple(value) if isinstance(value, list) else value


AsTuple = BeforeValidator(as_tuple)
"""Annotation: accepts YAML's list for a tuple, which strict validation would refuse."""


@dataclass(frozen=True)
class Meaning:
    """Annotation: says in words what a value should be; also accepts a list for a tuple."""

    sentence: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._validate, handler(source))

    def _validate(self, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(as_tuple(value))
        except ValidationError:
            context = {"meaning": self.sentence}
            raise PydanticCustomError("meaning", "should be {meaning}", context) from None

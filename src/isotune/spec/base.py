"""What all parts of a spec share: strictness, the check of keys, shorthands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic import model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from isotune.errors import nearest


class SpecModel(BaseModel):
    """A part of a spec: unknown keys are errors, values are taken as they are, never coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any) -> Any:
        """Refuses unknown keys with the nearest allowed one, which pydantic does not offer."""
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise PydanticCustomError(
                        "unknown_key",
                        "is not a known key.{hint} Allowed are: {allowed}",
                        {
                            "key": str(key),
                            "hint": nearest(str(key), cls.model_fields),
                            "allowed": ", ".join(cls.model_fields),
                        },
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

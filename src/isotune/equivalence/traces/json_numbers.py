"""Numbers in JSON that need not be finite: such a one is a text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

TEXTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""The numbers that are not finite, by how they are written."""


def from_text(value: Any) -> Any:
    """Returns the number that a text stands for; any other value as it is."""
    return TEXTS.get(value, value) if isinstance(value, str) else value


Measure = Annotated[float, BeforeValidator(from_text)]
"""A number, in JSON perhaps one of :data:`TEXTS`."""


def plain(value: Any) -> Any:
    """Returns a value, with dataclasses, mappings and tuples inside, as JSON has it."""
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return next(text for text, number in TEXTS.items() if str(number) == str(value))
    return value

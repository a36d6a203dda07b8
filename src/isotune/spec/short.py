"""A spec in short: what differs from the defaults."""

from __future__ import annotations

from typing import Any

from isotune.spec.base import SpecModel
from isotune.spec.dataset import DEFAULT_FORMAT
from isotune.spec.fields import shorthand
from isotune.spec.transforms import TransformSpec


def short(model: SpecModel, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns a part of a spec as plain data that means the same, without default values.

    Args:
        model: The part.
        path: Its place in the spec.
    """
    shown = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        usual = value == field.get_default(call_default_factory=True)
        if _names_a_kind(model, name) or not usual:
            shown[name] = _plain(model, name, (*path, name))
    return shown


def _names_a_kind(model: SpecModel, name: str) -> bool:
    """Whether a field says which kind of a part it is, which has no default."""
    kind = name in ("name", "format") and not type(model).model_fields[name].is_required()
    return kind and getattr(model, name) != DEFAULT_FORMAT


def _plain(model: SpecModel, name: str, path: tuple[str, ...]) -> Any:
    value = getattr(model, name)
    if isinstance(value, SpecModel):
        parts = short(value, path)
        key = shorthand(path)
        return parts[key] if key is not None and parts.keys() == {key} else parts
    if isinstance(value, tuple) and value and isinstance(value[0], SpecModel):
        return [_item(each) for each in value]
    return model.model_dump(mode="json", include={name})[name]


def _item(model: SpecModel) -> Any:
    """Returns an item of a list; a transform is written by its name."""
    parts = short(model)
    if not isinstance(model, TransformSpec):
        return parts
    name = parts.pop("name")
    if not parts and model.bare:
        return name
    if model.main is not None and parts.keys() == {model.main}:
        return {name: parts[model.main]}
    return {name: parts}

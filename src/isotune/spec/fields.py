"""Which models and short forms are allowed at a path of a spec, as its models declare them."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from isotune.spec.base import KindOf, Shorthand, SpecModel, literal
from isotune.spec.document import Path
from isotune.spec.experiment import ExperimentSpec

Member = tuple[Any, tuple[Any, ...]]
"""A type, and its annotations: one member of a union."""


def shorthand(path: Path) -> str | None:
    """Returns the key that a bare value at `path` stands for, or None if it has no short form."""
    marks = (mark for _, annotations in _members(path) for mark in annotations)
    return next((mark.key for mark in marks if isinstance(mark, Shorthand)), None)


def kinds(path: Path, field: str) -> list[str]:
    """Returns the names, which `field` holds, of the models that are allowed at `path`."""
    return [literal(kind, field) for kind, _ in _members(path) if is_model(kind)]


def _members(path: Path) -> list[Member]:
    members: list[Member] = [(ExperimentSpec, ())]
    for key in path:
        members = [inner for kind, _ in members for inner in _inside(kind, key)]
    return members


def _inside(kind: Any, key: int | str) -> Iterator[Member]:
    if is_model(kind) and key in kind.model_fields:
        yield from members(kind.model_fields[key])
    elif get_origin(kind) in (tuple, list) and isinstance(key, int):
        yield from _with_kinds(get_args(kind)[0], ())


def members(field: FieldInfo) -> Iterator[Member]:
    """Yields the types that a field takes; of a registry, its kinds."""
    yield from _with_kinds(field.annotation, tuple(field.metadata))


def _with_kinds(annotation: Any, annotations: tuple[Any, ...]) -> Iterator[Member]:
    for kind, marks in split(annotation, annotations):
        registry = next((mark.registry for mark in marks if isinstance(mark, KindOf)), None)
        models = [kind] if registry is None else [model for _, model in registry.items()]
        yield from ((model, marks) for model in models)


def split(annotation: Any, annotations: tuple[Any, ...] = ()) -> Iterator[Member]:
    """Yields the members of a union, or the only type, each with all of its annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *own = get_args(annotation)
        yield from split(inner, (*annotations, *own))
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from split(member, annotations)
    else:
        yield annotation, annotations


def is_model(kind: Any) -> bool:
    """Whether a type is a part of a spec."""
    return isinstance(kind, type) and issubclass(kind, SpecModel)

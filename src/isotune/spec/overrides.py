"""``--set a.b=value``: overrides any field of a spec before it is checked."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from isotune.errors import SpecError
from isotune.spec.document import Document, Path, parse_value

_SHORTHANDS = {
    "backbone": "name",
    "head": "name",
    "freeze": "parameters",
    "loss": "name",
    "optimizer": "name",
    "schedule": "name",
}


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    """Returns the document with each ``path=value`` set.

    A path is made of keys and list positions: ``optimizer.lr``, ``transforms.train.0``. A value
    is read as YAML. A bare value on the way (``backbone: resnet18``) becomes a mapping.

    Raises:
        SpecError: an override has no ``=``, or its path leads through something that is
            neither a mapping nor a list.
    """
    data, lines = copy.deepcopy(document.data), dict(document.lines)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name.strip():
            raise SpecError(f"--set {override}: should look like --set optimizer.lr=0.01.")
        keys: list[str | int] = [_position(key) for key in name.strip().split(".")]
        _assign(data, keys, parse_value(text), override)
        for path in [path for path in lines if path[: len(keys)] == tuple(keys)]:
            del lines[path]
    return Document(data, document.source, lines)


def _position(key: str) -> str | int:
    return int(key) if key.isdigit() else key


def _assign(data: Any, keys: list[str | int], value: Any, override: str) -> None:
    path: Path = ()
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        path = (*path, key)
        key = _check(data, key, override)
        if following is None:
            data[key] = value
            return
        child = data[key] if isinstance(data, list) else data.get(key)
        if child is None:
            child = {}
        elif not isinstance(child, (dict, list)) and len(path) == 1 and key in _SHORTHANDS:
            child = {_SHORTHANDS[str(key)]: child}
        data[key] = child
        data = child


def _check(data: Any, key: str | int, override: str) -> str | int:
    if isinstance(data, dict):
        return key if key in data else str(key)
    if isinstance(data, list):
        if isinstance(key, int) and key < len(data):
            return key
        raise SpecError(
            f"--set {override}: '{key}' should be a position from 0 to {len(data) - 1}."
        )
    raise SpecError(f"--set {override}: nothing can be set inside of {data!r}.")

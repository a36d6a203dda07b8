"""``--set a.b=value``: overrides any field of a spec before it is checked."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from isotune.errors import SpecError
from isotune.printable import shortened
from isotune.spec.document import (
    MOST_CHARACTERS,
    MOST_LEVELS,
    Document,
    Path,
    plain,
    read_value,
)
from isotune.spec.fields import shorthand
from isotune.spec.messages import shown

MOST_OVERRIDES = 1_000
"""Limit on the number of overrides."""

LONGEST = 200
"""Number of characters of an override that messages show."""


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    """Returns the document with each ``path=value`` set.

    A path consists of keys and list positions: ``optimizer.lr``, ``transforms.train.0``. The value
    is read as YAML. A short form on the path (``backbone: resnet18``) becomes a mapping, and a
    missing key is added.

    Raises:
        SpecError: An override has no ``=``, its path leads through a value that is neither a
            mapping nor a list, or they are more or larger than any spec.
    """
    given = list(islice(overrides, MOST_OVERRIDES + 1))
    if len(given) > MOST_OVERRIDES:
        raise SpecError(f"--set: is given more than {MOST_OVERRIDES:,} times.")
    if sum(map(len, given)) > MOST_CHARACTERS:
        raise SpecError(f"--set: holds more than {MOST_CHARACTERS:,} characters of text.")
    data, places = plain(document.data, document.source), dict(document.places)
    for override in given:
        name, equals, text = override.partition("=")
        keys = name.strip().split(".")
        source = f"--set {shortened(override, LONGEST)}"
        if not equals or not all(keys):
            raise SpecError(f"{source}: should look like --set optimizer.lr=0.01.")
        _set(data, places, keys, read_value(text, source), source)
    return Document(plain(data, document.source), document.source, places)


def set_value(document: Document, keys: list[str], value: Any, source: str) -> Document:
    """Returns the document with one value set.

    Args:
        document: It stays as it is.
        keys: The path, as for :func:`apply_overrides`.
        value: Plain data.
        source: Where the value comes from, for messages.

    Raises:
        SpecError: The path leads through a value that is neither a mapping nor a list, or it or
            the document is larger or nested deeper than any spec.
    """
    data, places = plain(document.data, document.source), dict(document.places)
    _set(data, places, keys, value, source)
    return Document(data, document.source, places)


def _set(
    data: Any, places: dict[Path, int | str], keys: list[str], value: Any, source: str
) -> None:
    """Sets a value in `data`, and in `places` where it comes from."""
    if len(keys) > MOST_LEVELS:
        raise SpecError(f"{source}: is nested too deeply, more than {MOST_LEVELS} levels.")
    path = _assign(data, keys, value, source)
    for known in [known for known in places if known[: len(path)] == path]:
        del places[known]
    for length in range(1, len(path) + 1):
        places.setdefault(path[:length], source)


def _assign(data: Any, keys: list[str], value: Any, source: str) -> Path:
    """Sets a value in `data` and returns its path."""
    path: Path = ()
    for text, following in zip(keys, [*keys[1:], None], strict=True):
        key: Any = _key(data, text, path, source)
        path = (*path, key)
        if following is None:
            data[key] = value
            break
        child = data[key] if isinstance(data, list) else data.get(key)
        data[key] = data = _opened(child, path, following)
    return path


def _opened(value: Any, path: Path, following: str) -> Any:
    """Returns `value` in the long form, in which `following` can be set, if it has one."""
    if value is None:
        return {}
    if isinstance(value, dict) or (isinstance(value, list) and _is_position(following)):
        return value
    key = shorthand(path)
    return value if key is None else {key: value}


def _key(data: Any, key: str, path: Path, source: str) -> str | int:
    where = ".".join(map(str, path)) or "the spec"
    if isinstance(data, dict):
        return key
    if not isinstance(data, list):
        raise SpecError(f"{source}: {where} is {shown(data)}, so nothing can be set inside of it.")
    if _is_position(key) and int(key) < len(data):
        return int(key)
    raise SpecError(
        f"{source}: {where} is a list of {len(data)}, so '{key}' should be a position in it,"
        " counted from 0."
    )


def _is_position(key: str) -> bool:
    # Python refuses to read thousands of digits.
    return key.isascii() and key.isdecimal() and len(key) < 10

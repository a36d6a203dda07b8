"""A YAML document as plain data, with the line of each value."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from isotune.errors import SpecError

Path = tuple["str | int", ...]
MOST_VALUES = 10_000
"""Limit on the values of a document, far above any spec: aliases of aliases can make billions."""

MOST_CHARACTERS = 1 << 20
"""Limit on the text of a document."""

MOST_BITS = 10_000
"""Limit on a whole number: Python refuses to write one of thousands of digits."""

MOST_LEVELS = 100
"""Limit on the nesting of a document: PyYAML's time grows with the square of it."""

# What PyYAML raises for a value that does not fit its explicit tag, as in "!!bool maybe", for an
# escape that names no character, as in "\UFFFFFFFF", and for a number of thousands of digits.
_UNFIT = (ValueError, LookupError, AttributeError, TypeError, OverflowError)


class _NestingError(yaml.MarkedYAMLError):
    """A document is nested too deeply."""


class _SizeError(Exception):
    """A document holds too many values."""


class _Loader(yaml.SafeLoader):
    """The safe loader, but scalars are read as in YAML 1.2.

    In YAML 1.1, 1e-3 is a string, 3:4 a number (184), 2024-05-01 a date, and ``yes`` and ``no``
    are booleans, although they are good names of classes.
    """

    def __init__(self, text: str) -> None:
        try:
            super().__init__(text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            problem = f"the character U+{error.character:04X} is not allowed"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=_mark(line)) from error
        self._levels = self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Composes a node, if it is not nested too deeply and not one too many."""
        if self._levels == MOST_LEVELS:
            raise _NestingError(
                problem=f"it is nested too deeply, more than {MOST_LEVELS} levels",
                problem_mark=_mark(self.line),
            )
        is_key = isinstance(parent, yaml.MappingNode) and index is None
        self._values += not is_key
        if self._values > MOST_VALUES:
            raise _SizeError
        self._levels += 1
        try:
            return super().compose_node(parent, index)
        except (OverflowError, ValueError) as error:
            problem = "an escape names no character"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=_mark(self.line)) from error
        finally:
            self._levels -= 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Constructs the value of a node; says the line of one that is unfit."""
        try:
            return super().construct_object(node, deep)
        except _UNFIT as error:
            kind = node.tag.replace("tag:yaml.org,2002:", "!!")
            problem = f"a value does not fit its type {kind}"
            if kind == "!!int" and len(str(node.value)) > 1000:
                problem = f"a number has {len(node.value)} digits"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error


def _mark(line: int) -> yaml.Mark:
    return yaml.Mark("", 0, line, 0, None, 0)


_REPLACED = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
        r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF|nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    list("tTfF"),
)


@dataclass(frozen=True)
class Document:
    """Plain data and where it came from.

    Attributes:
        data: Mappings with strings as keys, lists, numbers, strings, booleans, None.
        source: Name of the document in messages, usually the file.
        places: By a value's path, its line, counted from 1, or the ``--set`` that set it.
    """

    data: Any
    source: str
    places: dict[Path, int | str] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """Returns ``FILE:LINE`` of the value at `path`, or of its nearest parent."""
        for length in range(len(path), -1, -1):
            place = self.places.get(path[:length])
            if place is not None:
                return place if isinstance(place, str) else f"{self.source}:{place}"
        return self.source


def read_document(text: str, source: str) -> Document:
    """Reads YAML safely.

    Raises:
        SpecError: It is not YAML, a mapping has a key twice, or it is larger or nested deeper than
            any spec.
    """
    places: dict[Path, int | str] = {}
    try:
        data = _read(text, source, places)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SpecError(f"{source}{line}: is not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, *_UNFIT) as error:
        reason = " ".join(str(error).split())
        raise SpecError(f"{source}: is not valid YAML: {reason}.") from error
    except RecursionError:
        raise _too_deep(source) from None
    if data is None:
        raise SpecError(f"{source}: is empty; an experiment spec was expected.")
    return Document(data, source, places)


def read_value(text: str, source: str) -> Any:
    """Reads the value of a ``--set key=value`` as YAML, or as text if it is not YAML.

    Raises:
        SpecError: A mapping has a key twice, or the value is larger or nested deeper than any spec.
    """
    try:
        return _read(text, source, {})
    except (_NestingError, RecursionError):
        raise _too_deep(source) from None
    except (yaml.YAMLError, *_UNFIT):
        return text


def plain(data: Any, source: str) -> Any:
    """Returns a copy of Python data as YAML would hold it: strings as keys, lists, no paths.

    Args:
        data: The data; nothing in it is looked at beyond the limits of a document.
        source: Where it comes from, for messages.

    Raises:
        SpecError: It is larger or nested deeper than any spec.
    """
    return _Copying(source).copy(data)


class _Copying:
    """Copies one document's data, and counts what it holds."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._values = self._characters = 0

    def copy(self, data: Any, level: int = 1) -> Any:
        if level > MOST_LEVELS:
            raise _too_deep(self._source)
        self._values += 1
        if self._values > MOST_VALUES:
            raise _too_many(self._source)
        if isinstance(data, Mapping):
            return {self._key(key): self.copy(data[key], level + 1) for key in data}
        if isinstance(data, (list, tuple)):
            return [self.copy(value, level + 1) for value in data]
        return self._scalar(data)

    def _key(self, key: Any) -> str:
        return self._text(str(self._scalar(key)))

    def _scalar(self, data: Any) -> Any:
        value = os.fspath(data) if isinstance(data, os.PathLike) else data
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise SpecError(f"{self._source}: holds a number of thousands of digits.")
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise _too_long(self._source)
        return text


def _too_deep(source: str) -> SpecError:
    return SpecError(f"{source}: is nested too deeply, more than {MOST_LEVELS} levels.")


def _too_many(source: str) -> SpecError:
    return SpecError(f"{source}: holds more than {MOST_VALUES:,} values.")


def _too_long(source: str) -> SpecError:
    return SpecError(f"{source}: holds more than {MOST_CHARACTERS:,} characters of text.")


def _read(text: str, source: str, places: dict[Path, int | str]) -> Any:
    if len(text) > MOST_CHARACTERS:
        raise _too_long(source)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _visit(node, (), places, source)
        return plain(loader.construct_document(node), source)
    except _SizeError:
        raise _too_many(source) from None
    finally:
        loader.dispose()


def _visit(node: yaml.Node, path: Path, places: dict[Path, int | str], source: str) -> None:
    places.setdefault(path, node.start_mark.line + 1)
    if len(places) > MOST_VALUES:
        raise _too_many(source)
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _visit(child, (*path, index), places, source)
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            here = (*path, _key(key))
            line = key.start_mark.line + 1
            if here in places:
                raise SpecError(
                    f"{source}:{line}: {'.'.join(map(str, here))} is set twice;"
                    f" it was already set on line {places[here]}."
                )
            places[here] = line
            _visit(child, here, places, source)


def _key(node: yaml.Node) -> str:
    # A class may be called 007 or true: a key is the text as written.
    if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:merge":
        node.tag = "tag:yaml.org,2002:str"
    return str(node.value)

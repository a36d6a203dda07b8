"""A YAML document as plain data that remembers on which line each value stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from isotune.errors import SpecError

Path = tuple["str | int", ...]


class _Loader(yaml.SafeLoader):
    """The safe loader, with 1e-3 read as a number: YAML 1.1 would have it a string."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.lines: dict[Path, int] = {}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
        r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF|nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class Document:
    """Plain data and where it came from.

    Attributes:
        data: what the YAML says: mappings, lists, numbers, strings.
        source: how messages name it: the file, usually.
        lines: the line (from 1) of every value, by its path.
    """

    data: Any
    source: str
    lines: dict[Path, int] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """Returns ``FILE:LINE`` of the value at `path`, or of its nearest parent."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return f"{self.source}:{self.lines[path[:length]]}"
        return self.source


def read_document(text: str, source: str) -> Document:
    """Reads YAML safely.

    Raises:
        SpecError: it is not YAML, or a mapping has a key twice.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise SpecError(f"{source}: is empty; an experiment spec was expected.")
        lines: dict[Path, int] = {}
        _visit(node, (), lines, source)
        return Document(loader.construct_document(node), source, lines)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SpecError(f"{source}{line}: is not valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: is not valid YAML: {error}.") from error
    finally:
        loader.dispose()


def _visit(node: yaml.Node, path: Path, lines: dict[Path, int], source: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _visit(child, (*path, index), lines, source)
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if here in lines:
                raise SpecError(
                    f"{source}:{line}: '{key.value}' is set twice;"
                    f" it was already set on line {lines[here]}."
                )
            lines[here] = line
            _visit(child, here, lines, source)


def parse_value(text: str) -> Any:
    """Reads the value of a ``--set key=value`` as YAML would."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except yaml.YAMLError:
        return text
    finally:
        loader.dispose()

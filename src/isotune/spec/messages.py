"""Turns pydantic's errors into sentences: where, what was found, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from reprlib import Repr
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from isotune.errors import nearest
from isotune.spec.document import Document, Path
from isotune.spec.fields import kinds
from isotune.storage.downloads import address

_EXPECTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "bool_type": lambda _: "true or false",
    "dataclass_type": lambda _: "a mapping",
    "dict_type": lambda _: "a mapping",
    "finite_number": lambda _: "a finite number",
    "float_type": lambda _: "a number",
    "greater_than": lambda c: f"above {c['gt']:g}",
    "greater_than_equal": lambda c: f"at least {c['ge']:g}",
    "int_from_float": lambda _: "a whole number",
    "int_parsing": lambda _: "a whole number",
    "int_type": lambda _: "a whole number",
    "less_than": lambda c: f"below {c['lt']:g}",
    "less_than_equal": lambda c: f"at most {c['le']:g}",
    "list_type": lambda _: "a list",
    "literal_error": lambda c: c["expected"],
    "meaning": lambda c: c["meaning"],
    "model_attributes_type": lambda _: "a mapping",
    "model_type": lambda _: "a mapping",
    "string_too_short": lambda _: "text that is not empty",
    "string_type": lambda _: "text",
    "string_unicode": lambda _: "text that can be written as UTF-8",
    "too_long": lambda c: f"{c['max_length']} values, not {c['actual_length']}",
    "too_short": lambda _: "a list that is not empty",
    "tuple_type": lambda _: "a list",
}
"""What a value should be, by pydantic's type of error."""

MOST_LINES = 20
"""Limit on the errors that are listed: a list of wrong values has one each."""

_repr = Repr()
_repr.maxlevel, _repr.maxstring, _repr.maxother, _repr.maxlong = 3, 80, 80, 40


def explain(error: ValidationError, document: Document) -> list[str]:
    """Returns one line for each error; of very many, the first and that there are more."""
    problems = [_Problem.of(details, document) for details in error.errors(include_url=False)]
    lines: dict[str, None] = {}
    for line in (line for group in _by_value(problems) for line in _lines(group, document)):
        if len(lines) == MOST_LINES and line not in lines:
            return [*lines, f"{document.source}: has more errors than these {MOST_LINES}."]
        lines[line] = None
    return list(lines)


def explain_first(error: ValidationError, document: Document) -> str:
    """Returns a line for the first error, however many there are."""
    first = _Problem.of(error.errors(include_url=False)[0], document)
    return next(_lines([first], document))


@dataclass(frozen=True)
class _Problem:
    """One of pydantic's errors, at the path and with the value of the user's document."""

    path: Path
    value: Any
    kind: str
    message: str
    context: Mapping[str, Any]

    @classmethod
    def of(cls, details: ErrorDetails, document: Document) -> _Problem:
        kind = details["type"]
        path, value = _walk(details["loc"], document.data)
        if kind == "missing" and path[-1:] != details["loc"][-1:]:
            path = (*path, details["loc"][-1])
        if details["loc"][-1:] == ("[key]",):
            value = path[-1]
        return cls(path, value, kind, details["msg"], details.get("ctx", {}))


def _walk(loc: tuple[int | str, ...], data: Any) -> tuple[Path, Any]:
    """Follows a location through the data, without pydantic's own keys (union members)."""
    path: Path = ()
    for key in loc:
        if _contains(data, key):
            data = data[key]
            path = (*path, key)
    return path, data


def _contains(data: Any, key: int | str) -> bool:
    if isinstance(data, list):
        return isinstance(key, int) and key < len(data)
    return isinstance(data, dict) and key in data


def _by_value(problems: list[_Problem]) -> list[list[_Problem]]:
    """Groups errors by value: each member of a union reports its own."""
    groups: dict[Path, list[_Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.path, []).append(problem)
    parents = {path[:length] for path in groups for length in range(len(path))}
    for path in parents & groups.keys():
        if all(problem.kind == "literal_error" for problem in groups[path]):
            del groups[path]  # a list or a mapping was meant, and something inside is wrong
    return list(groups.values())


def _lines(group: list[_Problem], document: Document) -> Iterator[str]:
    if len(group) > 1 and all(problem.kind in _EXPECTED for problem in group):
        choices = [_EXPECTED[problem.kind](problem.context) for problem in group]
        expected = f"{', '.join(choices[:-1]).replace(' or ', ', ')} or {choices[-1]}"
        yield _sentence(group[0], document, f"{_found(group, expected)}.{_hint(group)}")
        return
    for problem in group:
        if problem.kind == "unknown_keys":
            yield from (_unknown(problem, key, document) for key in problem.context["keys"])
        else:
            yield _line(problem, document)


def _line(problem: _Problem, document: Document) -> str:
    kind, context = problem.kind, problem.context
    if kind == "missing":
        return _sentence(problem, document, "is missing.")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _sentence(problem, document, _wrong_name(problem))
    if kind in _EXPECTED:
        expected = _EXPECTED[kind](context)
        return _sentence(problem, document, f"{_found([problem], expected)}.{_hint([problem])}")
    message = re.sub(r"^Value error, ", "", problem.message).rstrip(".")
    if message.startswith("should"):
        return _sentence(problem, document, f"is {shown(problem.value)}, but {message}.")
    return f"{document.where(problem.path)}: {_name(problem.path)}: {message}."


def _unknown(problem: _Problem, key: str, document: Document) -> str:
    path, allowed = (*problem.path, key), problem.context["allowed"]
    return (
        f"{document.where(path)}: {_name(path)} is not a known key."
        f"{nearest(key, allowed)} Allowed are: {', '.join(allowed)}."
    )


def _wrong_name(problem: _Problem) -> str:
    """Says which names are known, for a part that is chosen by name, as optimizers are."""
    field = problem.context["discriminator"].strip("'")
    known = kinds(problem.path, field)
    tag = problem.context.get("tag")
    if tag is None:
        return f"has no {field}. Known are: {', '.join(known)}."
    return f"{shown(tag)} is not known.{nearest(tag, known)} Known are: {', '.join(known)}."


def _sentence(problem: _Problem, document: Document, complaint: str) -> str:
    return f"{document.where(problem.path)}: {_name(problem.path)} {complaint}"


def _name(path: Path) -> str:
    keys = (str(key) if str(key).isprintable() else repr(key) for key in path)
    return ".".join(keys) or "the spec"


def _found(group: list[_Problem], expected: str) -> str:
    return f"is {shown(group[0].value)}, but should be {expected}"


def _hint(group: list[_Problem]) -> str:
    value = group[0].value
    choices = [
        choice
        for problem in group
        for choice in re.findall(r"'([^']+)'", str(problem.context.get("expected", "")))
    ]
    return nearest(value, choices) if isinstance(value, str) else ""


def shown(value: Any) -> str:
    """Returns a value as YAML would write it, shortened if it is long, and without passwords."""
    if value is None:
        return "null"
    if isinstance(value, str) and "://" in value:
        value = address.shown(value)
    try:
        return str(value).lower() if isinstance(value, bool) else _repr.repr(value)
    except ValueError:  # Python refuses to write out integers of thousands of digits
        return "a very large number"

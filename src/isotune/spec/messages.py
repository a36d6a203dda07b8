"""Turns pydantic's errors into one sentence each: where, what was found, what is allowed."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from isotune.errors import nearest
from isotune.spec.document import Document, Path


def explain(error: ValidationError, document: Document) -> str:
    """Returns one line for each thing that is wrong."""
    sentences: dict[str, None] = {}
    for details in error.errors(include_url=False):
        sentences[_sentence(details, document)] = None
    return "\n".join(sentences)


def _sentence(details: ErrorDetails, document: Document) -> str:
    path, value = _walk(details["loc"], document.data)
    context = details.get("ctx", {})
    kind = details["type"]
    if kind == "unknown_key":
        path = (*path, context["key"])
    name = ".".join(map(str, path)) or "the spec"
    return f"{document.where(path)}: {name} {_complaint(kind, details, context, value)}"


def _walk(loc: tuple[int | str, ...], data: Any) -> tuple[Path, Any]:
    """Follows a location through the data; pydantic's own marks (union members) are left out."""
    path: Path = ()
    for position, key in enumerate(loc):
        if isinstance(data, dict) and key in data:
            data = data[key]
        elif isinstance(data, list) and isinstance(key, int) and key < len(data):
            data = data[key]
        elif position == len(loc) - 1 and isinstance(data, dict) and re.fullmatch(r"\w+", str(key)):
            data = None
        else:
            continue
        path = (*path, key)
    return path, data


def _complaint(kind: str, details: ErrorDetails, context: dict[str, Any], value: Any) -> str:
    message = details["msg"]
    if kind == "unknown_key":
        return f"{message}."
    if kind == "missing":
        return "is missing."
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        allowed = re.findall(r"'([^']+)'", str(context.get("expected_tags", "")))
        tag = str(context.get("tag", ""))
        found = f"names '{tag}'" if tag else "has no name"
        names = f"; known are: {', '.join(allowed)}" if allowed else ""
        return f"{found}{names}.{nearest(tag, allowed)}"
    if kind == "literal_error":
        allowed = re.findall(r"'([^']+)'", str(context.get("expected", "")))
        return f"is {value!r}, but should be {context['expected']}.{nearest(str(value), allowed)}"
    message = re.sub(r"^Value error, ", "", message)
    message = re.sub(r"^(Input|String|List|Tuple|Dictionary) should", "should", message)
    if message.startswith("should"):
        return f"is {_shown(value)}, but {message.rstrip('.')}."
    return f"is {_shown(value)}: {message.rstrip('.')}."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

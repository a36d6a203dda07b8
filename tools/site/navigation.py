"""The navigation of mkdocs.yml, with the pages of its folders and those that it does not name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

UNNAMED = "How-to guides"
"""The section at whose end pages come that are in no entry."""


def completed(entries: Sequence[Any], pages: Sequence[str]) -> list[Any]:
    """Returns the navigation with all pages in it.

    Args:
        entries: As in mkdocs.yml: a page, ``{title: page}`` or ``{title: entries}``.
        pages: The pages of the site, sorted.
    """
    result = _expanded(entries, pages)
    named = set(_pages(result))
    for entry in result:
        if isinstance(entry, dict) and UNNAMED in entry:
            entry[UNNAMED] += [page for page in pages if page not in named]
    return result


def _expanded(entries: Sequence[Any], pages: Sequence[str]) -> list[Any]:
    """Returns entries with the pages of a folder in the place of each that ends in a slash."""
    result: list[Any] = []
    for entry in entries:
        title, value = next(iter(entry.items())) if isinstance(entry, dict) else (None, entry)
        if isinstance(value, list):
            value = _expanded(value, pages)
        elif value.endswith("/"):
            folder = value
            value = [page for page in pages if page.startswith(folder)]
            if title is None:
                named = set(_pages(entries))
                result += [page for page in value if page not in named]
                continue
        if value:
            result.append(value if title is None else {title: value})
    return result


def _pages(entries: Sequence[Any]) -> Iterator[str]:
    """Yields the pages of entries."""
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        if isinstance(value, str):
            yield value
        else:
            yield from _pages(value)

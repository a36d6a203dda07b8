"""The navigation of mkdocs.yml, with the pages of its folders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def completed(entries: Sequence[Any], pages: Sequence[str]) -> list[Any]:
    """Returns the navigation with pages in the place of each entry that ends in a slash.

    Args:
        entries: As in mkdocs.yml: a page, ``{title: page}`` or ``{title: entries}``.
        pages: All files of the site, sorted.
    """
    result: list[Any] = []
    for entry in entries:
        title, value = next(iter(entry.items())) if isinstance(entry, dict) else (None, entry)
        if isinstance(value, list):
            value = completed(value, pages)
        elif value.endswith("/"):
            folder = value
            value = [page for page in pages if page.startswith(folder) and page.endswith(".md")]
            if title is None:
                result += value
                continue
        if value:
            result.append(value if title is None else {title: value})
    return result

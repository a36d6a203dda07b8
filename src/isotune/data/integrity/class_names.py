"""Finds classes that are likely one class, written in two ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from unicodedata import combining, normalize

_Key = Callable[[str], str]

MIN_LENGTH = 7
"""Number of letters from which one other letter is likely a slip. Of ImageNet's classes, 8 pairs
such as ``hammer`` and ``hamper`` are one letter apart, none of them longer than that."""


def similar_names(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Returns pairs of different names that are likely the same, and in what they differ.

    Args:
        names: Class names, without repetitions.
    """
    found: dict[tuple[str, str], str] = {}
    for reason, key in _FORMS:
        for group in _grouped(names, key):
            for pair in combinations(group, 2):
                found.setdefault(pair, reason)
    for first, second in _slips(names):
        found.setdefault((first, second), "one letter")
    return [(first, second, reason) for (first, second), reason in sorted(found.items())]


def _grouped(names: Sequence[str], key: _Key) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(key(name), []).append(name)
    return [group for form, group in groups.items() if len(group) > 1 and form]


def _unicode(name: str) -> str:
    """Returns a name in the Unicode form NFKC: ligatures, widths and spaces of one kind."""
    return normalize("NFKC", name)


def _case(name: str) -> str:
    return normalize("NFKC", _unicode(name).casefold())


def _words(name: str) -> str:
    """Returns the words of a name, without what separates them."""
    return re.sub(r"[\W_]+", "", _case(name))


def _accents(name: str) -> str:
    bare = "".join(c for c in normalize("NFD", _words(name)) if not combining(c))
    return normalize("NFC", bare)


def _singular(name: str) -> str:
    """Returns a name without the usual English ending of a plural."""
    name = _accents(name)
    if len(name) > 4 and name.endswith("ies"):
        return f"{name[:-3]}y"
    if len(name) > 4 and name.endswith(("sses", "xes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if len(name) > 3 and name.endswith("s") and not name.endswith("ss") else name


_FORMS = (
    ("Unicode form", _unicode),
    ("upper and lower case", _case),
    ("spaces or punctuation", _words),
    ("accents", _accents),
    ("singular and plural", _singular),
)
"""In what names differ, and what is then the same of them, from the strictest to the loosest."""


def _slips(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields pairs of names that differ by one letter: changed, left out, added or exchanged.

    Names that have a common form after a letter of each is left out are compared, instead of all
    (https://wolfgarbe.medium.com/1000x-faster-spelling-correction-algorithm-2012-8701fcd87a5f).
    """
    forms = {name: _accents(name) for name in names}
    shorter: dict[str, list[str]] = {}
    for name, form in sorted(forms.items()):
        if len(form) >= MIN_LENGTH and not any(map(str.isdigit, form)):  # numbers count classes
            for short in {form, *(form[:i] + form[i + 1 :] for i in range(len(form)))}:
                shorter.setdefault(short, []).append(name)
    for group in shorter.values():
        for first, second in combinations(group, 2):
            if _one_edit(forms[first], forms[second]):
                yield first, second


def _one_edit(first: str, second: str) -> bool:
    """Whether a letter of `first` changed, left out or added, or two exchanged, make `second`."""
    start = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    if start is None:
        return abs(len(first) - len(second)) == 1
    a, b = first[start:], second[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[1] + a[0] == b[:2] and a[2:] == b[2:])

"""Writes ``docs/licenses.md``: what Isotune depends on, and under which licenses.

    make licenses                       # or: python tools/licenses.py, with all extras installed

Licenses are those that the installed packages name in their metadata.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licenses.md"
CORE = "always"
"""What the page calls the dependencies that no extra is needed for."""

SHORT = 40
"""Number of characters of a license's name; longer fields hold its text."""

UNKNOWN = "not named in its metadata"

INTRODUCTION = """\
# Licenses

<!-- Written by `make licenses`. -->

Isotune is licensed under the [Apache License 2.0](../LICENSE), and its wheel holds nothing else.
These are the licenses of the packages that pip installs with it, as their metadata name them, in
the versions of [constraints.txt](../constraints.txt) on Linux.

Images and weights have licenses of their own, which their publishers name. `make demo` reads
photographs of plankton in planktonclass 0.1.5 (Copyright 2026 Flanders Marine Institute, Apache
License 2.0). The digits of `isotune demo` come with scikit-learn and are CC BY 4.0 (E. Alpaydin and
C. Kaynak, 1998, UCI Machine Learning Repository).
"""
DIRECT = """\
## What Isotune asks for

| package | needed by | license |
|---|---|---|
"""
INDIRECT = """\
## What these bring along

| license | packages |
|---|---|
"""


def direct() -> dict[str, list[str]]:
    """Returns the packages that ``pyproject.toml`` names, with the extras that need them."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked: dict[str, list[str]] = {}
    for extra, lines in {CORE: project["dependencies"], **project["optional-dependencies"]}.items():
        for name in (Requirement(line).name for line in lines):
            if name != project["name"]:
                asked.setdefault(canonicalize_name(name), []).append(extra)
    return {name: sorted(set(extras)) for name, extras in sorted(asked.items())}


def brought(names: Iterable[str]) -> set[str]:
    """Returns the installed packages that others need, and those that they need in turn."""
    left = [(name, "") for name in names]
    seen = set(left)
    for name, extra in left:
        new = sorted(set(_needs(name, extra)) - seen)
        seen |= set(new)
        left += new  # which this loop then comes to
    return {name for name, _ in seen}


def license_of(name: str) -> str:
    """Returns the license that an installed package names, printable in a table."""
    about = metadata.metadata(name)
    field = (about.get("License") or "").strip()
    kinds = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    first = " ".join(field.partition("\n")[0].split())
    usable = first and first.upper() != "UNKNOWN"
    named = first if usable and len(field) <= SHORT else ", ".join(kinds)
    text = about.get("License-Expression") or named or (first[:SHORT] if usable else UNKNOWN)
    return str(text).replace("|", "\\|")


def page() -> str:
    """Returns the page.

    Raises:
        SystemExit: A package is not installed.
    """
    asked = direct()
    missing = [name for name in asked if not _installed(name)]
    if missing:
        raise SystemExit(
            f"Not installed, so that their licenses are not known: {', '.join(missing)}."
        )
    rows = [f"| {name} | {', '.join(asked[name])} | {license_of(name)} |\n" for name in asked]
    groups: dict[str, list[str]] = {}
    for name in sorted(brought(asked) - asked.keys()):
        groups.setdefault(license_of(name), []).append(name)
    others = [f"| {text} | {', '.join(names)} |\n" for text, names in sorted(groups.items())]
    return "".join([INTRODUCTION, "\n", DIRECT, *rows, "\n", INDIRECT, *others])


def _needs(name: str, extra: str) -> Iterator[tuple[str, str]]:
    """Yields the installed packages that a package's extra needs, with the extras of theirs."""
    for line in metadata.requires(name) or []:
        need = Requirement(line)
        if (need.marker is None or need.marker.evaluate({"extra": extra})) and _installed(
            need.name
        ):
            yield from ((canonicalize_name(need.name), each) for each in ("", *need.extras))


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

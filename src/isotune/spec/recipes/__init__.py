"""Experiment specs that come with the package.

Each starts with a comment: what it is, its source, the accuracy it reaches if that is known, the
command that runs it, and notes. An indented line continues the one before::

    # Ants and bees, fine-tuned.
    # Source: the tutorial's title,
    #   https://its.address
    # Reaches: best validation accuracy 0.9085, as published.
    # Command: isotune run ants-and-bees
    # Note: anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Recipe:
    """The comment at the start of a recipe; missing entries are empty.

    Attributes:
        description: What it is, in one line.
        source: Title and address of where it comes from.
        reaches: The accuracy to expect, and who measured it.
        command: The command that runs it.
    """

    name: str
    description: str
    source: str
    reaches: str
    command: str


def names() -> list[str]:
    """Returns the names of all recipes, sorted."""
    entries = files(__name__).iterdir()
    return sorted(e.name.removesuffix(".yaml") for e in entries if e.name.endswith(".yaml"))


def text(name: str) -> str:
    """Returns the YAML of the recipe `name`, one of :func:`names`."""
    return files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")


def describe(name: str) -> Recipe:
    """Returns what the comment at the start of the recipe `name` says."""
    parts = _opening(text(name))
    description = parts.pop(0) if parts else ""
    entries = {key: value.strip() for key, _, value in (part.partition(":") for part in parts)}
    return Recipe(
        name,
        description,
        source=entries.get("Source", ""),
        reaches=entries.get("Reaches", ""),
        command=entries.get("Command", ""),
    )


def _opening(text: str) -> list[str]:
    """Returns the lines of the comment at the start of `text`, continued ones joined."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("#   ") and lines:
            lines[-1] += f" {line[1:].strip()}"
        else:
            lines.append(line[1:].strip())
    return lines

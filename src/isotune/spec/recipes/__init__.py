"""Ready experiment specs that come with the package.

Each opens with a comment: what it is; where it comes from; the accuracy it reaches, as far as
one is known; the command that runs it; what else is worth knowing. A line that is indented goes
on with the one before::

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
    """What a recipe's opening comment tells; a part that it does not tell is empty.

    Attributes:
        description: what it is, in a line.
        source: where it comes from: title and address.
        reaches: the accuracy to expect, and who measured it.
        command: what runs it.
    """

    name: str
    description: str
    source: str
    reaches: str
    command: str


def names() -> list[str]:
    """Returns the recipes' names, sorted."""
    entries = files(__name__).iterdir()
    return sorted(e.name.removesuffix(".yaml") for e in entries if e.name.endswith(".yaml"))


def text(name: str) -> str:
    """Returns the YAML of the recipe `name`, one of :func:`names`."""
    return files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")


def describe(name: str) -> Recipe:
    """Returns what the opening comment of the recipe `name` tells."""
    parts = _opening(text(name))
    description = parts.pop(0) if parts else ""
    told = {key: value.strip() for key, _, value in (part.partition(":") for part in parts)}
    return Recipe(
        name,
        description,
        source=told.get("Source", ""),
        reaches=told.get("Reaches", ""),
        command=told.get("Command", ""),
    )


def _opening(text: str) -> list[str]:
    """Returns the lines of the comment that `text` begins with, continued ones as one."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("#   ") and lines:
            lines[-1] += f" {line[1:].strip()}"
        else:
            lines.append(line[1:].strip())
    return lines

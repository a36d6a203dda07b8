"""Ready experiment specs that come with the package."""

from __future__ import annotations

from importlib.resources import files


def names() -> list[str]:
    """Returns the recipes' names, sorted."""
    entries = files(__name__).iterdir()
    return sorted(e.name.removesuffix(".yaml") for e in entries if e.name.endswith(".yaml"))


def text(name: str) -> str:
    """Returns the YAML of the recipe `name`, one of :func:`names`."""
    return files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")

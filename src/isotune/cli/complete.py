"""What the shell completes: names that are known without a framework."""

from __future__ import annotations


def backend_names(incomplete: str) -> list[str]:
    """Returns the backends that packages offer."""
    from importlib.metadata import entry_points

    names = {point.name for point in entry_points(group="isotune")}
    return sorted(name for name in names if name.startswith(incomplete))


def specs(incomplete: str) -> list[str]:
    """Returns recipes, YAML files and the folders that may contain some."""
    from pathlib import Path

    head, slash, begin = incomplete.rpartition("/")
    try:
        found = sorted(Path(f"{head}{slash}" or ".").expanduser().iterdir())
    except (OSError, RuntimeError):  # no such folder, none that can be read, or nobody's home
        found = []
    files = (
        f"{head}{slash}{path.name}"
        for path in found
        if path.name.startswith(begin)
        and path.name.startswith(".") == begin.startswith(".")
        and (path.suffix in (".yaml", ".yml") or path.is_dir())
    )
    return [*recipes(incomplete), *files]


def recipes(incomplete: str) -> list[str]:
    """Returns the recipes that come with the package."""
    from isotune.spec.recipes import names

    return [name for name in names() if name.startswith(incomplete)]


def backbone_names(incomplete: str) -> list[str]:
    """Returns the backbones of Isotune's catalogue."""
    from isotune.catalogue.entries import catalogue

    return sorted(name for name in catalogue(()) if name.startswith(incomplete))


def cache_kinds(incomplete: str) -> list[str]:
    """Returns the kinds of files that can be computed again."""
    from isotune.storage.caches import KINDS

    return [kind.name for kind in KINDS if kind.name.startswith(incomplete)]


def observers(incomplete: str) -> list[str]:
    """Returns the observers that a spec may name."""
    from isotune.spec.observer import OBSERVERS

    return [name for name in OBSERVERS.names() if name.startswith(incomplete)]

"""What the shell completes: names that are known without a framework."""

from __future__ import annotations


def backend_names(incomplete: str) -> list[str]:
    """Returns the backends that packages offer."""
    from importlib.metadata import entry_points

    names = {point.name for point in entry_points(group="isotune")}
    return sorted(name for name in names if name.startswith(incomplete))


def specs(incomplete: str) -> list[str]:
    """Returns recipes and YAML files."""
    from pathlib import Path

    from isotune.spec.recipes import names

    folder, _, begin = incomplete.rpartition("/")
    files = (
        f"{folder}/{path.name}" if folder else path.name
        for path in Path(folder or ("/" if incomplete.startswith("/") else ".")).glob(f"{begin}*")
        if path.is_dir() or path.suffix in (".yaml", ".yml")
    )
    return [*(name for name in names() if name.startswith(incomplete)), *sorted(files)]


def observers(incomplete: str) -> list[str]:
    """Returns Isotune's own observers."""
    return [
        name for name in ("csv", "mlflow", "tensorboard", "wandb") if name.startswith(incomplete)
    ]

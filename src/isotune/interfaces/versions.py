"""The versions of what computes a result."""

from __future__ import annotations

from importlib.metadata import version

from isotune.interfaces.backend import Backend

CORE = ("isotune", "numpy", "pillow")


def versions(backend: Backend | None = None) -> dict[str, str]:
    """Returns the versions of the packages that can change a result, by package.

    Args:
        backend: Adds the packages that it computes with.
    """
    core = {package: version(package) for package in CORE}
    return core if backend is None else {**core, **backend.versions()}

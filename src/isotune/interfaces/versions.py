"""The versions of what computes a result."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from isotune.interfaces.backend import Backend

CORE = ("isotune", "numpy", "pillow")
OPTIONAL = ("pillow-heif",)


def versions(backend: Backend | None = None) -> dict[str, str]:
    """Returns the versions of the packages that can change a result, by package.

    Args:
        backend: Adds the packages that it computes with.
    """
    core = {package: version(package) for package in CORE}
    for package in OPTIONAL:
        with suppress(PackageNotFoundError):
            core[package] = version(package)
    return core if backend is None else {**core, **backend.versions()}

"""The versions of what computes a result."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("isotune", "numpy", "pillow", "torch", "torchvision", "timm", "mindspore")


def versions() -> dict[str, str]:
    """Returns the installed versions of the packages that can change a result."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

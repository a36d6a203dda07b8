"""What tells whether a file is still the one that something was computed from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def file_fingerprints(paths: Iterable[Path]) -> list[str] | None:
    """Returns path, size and time of modification of each file; None if one is not there."""
    try:
        return [_fingerprint(path) for path in paths]
    except OSError:
        return None


def _fingerprint(path: Path) -> str:
    found = path.stat()
    return f"{path.absolute()} {found.st_size} {found.st_mtime_ns}"

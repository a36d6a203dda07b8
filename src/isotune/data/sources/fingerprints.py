"""Fingerprints of files: whether a file has changed since something was computed from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def file_fingerprints(paths: Iterable[Path]) -> list[str] | None:
    """Returns path, size and modification time of each file; None if one is missing."""
    try:
        return [_fingerprint(path) for path in paths]
    except OSError:
        return None


def _fingerprint(path: Path) -> str:
    status = path.stat()
    return f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"

"""Checks of paths that a user wrote: one that the system refuses is simply not there.

The system refuses a name that is too long, and what lies in a folder that may not be read.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file; a pipe, whose opening could wait forever, is not."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_dir(path: Path) -> bool:
    """Whether `path` is a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether anything is at `path`."""
    try:
        return path.exists()
    except OSError:
        return False


def is_new_or_empty(path: Path, ignored: Collection[str] = ()) -> bool:
    """Whether `path` is missing, or a folder that holds nothing except files of `ignored` names.

    A folder that may not be read counts as one in use.
    """
    if not exists(path):
        return True
    try:
        return path.is_dir() and all(entry.name in ignored for entry in path.iterdir())
    except OSError:
        return False

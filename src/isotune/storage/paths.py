"""Checks of paths that a user wrote: one that the system refuses is simply not there.

The system refuses a name that is too long, and what lies in a folder that may not be read.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath, PureWindowsPath


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


def is_link(path: Path) -> bool:
    """Whether `path` itself is a symbolic link."""
    try:
        return path.is_symlink()
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


def expanded(path: str | Path) -> Path:
    """Returns a path with ``~`` as the home directory, or unchanged if the system knows none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_plain_name(name: str) -> bool:
    """Whether `name`, on every system, is that of an entry of a folder and leads nowhere else."""
    return (
        name not in ("", ".", "..")
        and name.isprintable()
        and name == PurePosixPath(name).name == PureWindowsPath(name).name
    )


def inner_path(folder: Path, name: str) -> Path:
    """Returns where something downloaded as `name` may be written in `folder`.

    Args:
        folder: a folder of Isotune's own.
        name: plain names with slashes between them, such as ``insects/ants``.

    Raises:
        ValueError: the path could lead out of `folder`: it is absolute, has ``..`` or another
            name that is not plain, or leads through a link.
    """
    parts = PurePosixPath(name).parts
    if not parts or not all(map(is_plain_name, parts)):
        raise ValueError(f"'{name}' is not a plain name")
    path = folder
    for part in parts:
        path /= part
        if is_link(path):
            raise ValueError(f"{path} is a link")
    return path

"""Names of entries of archives that a stranger may have made."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

from isotune.errors import DatasetError

MAX_DEPTH = 64
"""Number of parts that the name of an entry may have. Functions that walk folders, such as those
which remove them, call themselves for each part."""

_SHALLOW = 10
"""Number of slashes from which parts are counted."""

_ODD = re.compile(r"\.\.|[:\\]|^/")
"""What a name has that may lead out of a folder, on some system."""


def plain_name(name: str) -> str:
    """Returns the name of an entry without parts that mean nothing, such as ``./``.

    Raises:
        DatasetError: It is empty, leads out of the archive, or has too many parts.
    """
    name = check_name(name)
    if "//" not in name and not name.startswith("./") and "/./" not in name:
        return name
    return str(PurePosixPath(name)) + "/" * name.endswith("/")


def check_name(name: str) -> str:
    """Returns the name of an entry after checking it.

    Raises:
        DatasetError: It is empty, leads out of the archive, or has too many parts.
    """
    if not name or name.isspace() or "\0" in name:
        raise DatasetError("it has an entry without a name")
    if not _ODD.search(name) and name.count("/") < _SHALLOW:
        return name  # nearly all names
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.anchor or ".." in path.parts:
            raise DatasetError(f"its entry '{name}' would lie outside of the folder")
        if len(path.parts) > MAX_DEPTH:
            raise DatasetError(f"its entry '{name}' lies in more than {MAX_DEPTH} folders")
    return name

"""The paths of a table's images."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from isotune.data.tables.table import Value


class PathFault(Exception):
    """What is wrong with the path of a row."""


class ImagePaths:
    """Paths inside a folder. No image outside it is read, unless a link in it leads there.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 (links stay)
        self._inside = os.path.join(self.root, "")  # noqa: PTH118 (a Path drops the separator)

    def name(self, cell: Value) -> str:
        """Returns a path relative to the folder, with slashes, in its shortest form.

        Raises:
            PathFault: It is empty, leads out of the folder, or can be no path.
        """
        if not isinstance(cell, str):
            raise PathFault("should have one path, not a list")
        if not cell:
            raise PathFault("its path is empty")
        if _is_short(cell):
            return cell
        if "\0" in cell:
            raise PathFault("its path has a zero byte")
        path = os.path.normpath(os.path.join(self.root, cell))  # noqa: PTH118
        if not path.startswith(self._inside):
            raise PathFault(
                f"'{cell}' is not inside {self.root}; set dataset.root to the folder of all images"
            )
        return path[len(self._inside) :].replace(os.sep, "/")

    def missing(self, names: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yields the position of each path at which there is no file, and what is wrong."""
        for position, name in enumerate(names):
            try:
                mode = os.stat(self._inside + name).st_mode  # noqa: PTH116 (a Path is slow)
            except OSError as error:
                yield position, f"'{name}' cannot be found: {error.strerror}"
            else:
                if not stat.S_ISREG(mode):
                    yield position, f"'{name}' is no file"


def _is_short(path: str) -> bool:
    """Whether a path is surely relative, and has no superfluous parts."""
    return (
        path[0] not in "/."
        and path[-1] not in "/."
        and "/." not in path
        and "//" not in path
        and "\0" not in path
        and (os.sep == "/" or ("\\" not in path and ":" not in path))
    )

"""What Isotune keeps under ``$ISOTUNE_HOME/cache``: one folder for each kind of file.

Everything there can be computed again, so that a file may be removed at any time.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from isotune.storage import home

ABANDONED = 24 * 3600
"""Age in seconds at which an unfinished file is removed."""


@dataclass(frozen=True)
class File:
    """A file that is kept.

    Attributes:
        path: Where it is.
        size: Number of bytes.
        used: When it was written, or marked as used since, in seconds of Unix time.
        unfinished: Whether it was being written when it was last looked at.
    """

    path: Path
    size: int
    used: float
    unfinished: bool = False

    @property
    def abandoned(self) -> bool:
        """Whether the process that was writing it has been killed, as far as its age says."""
        return self.unfinished and time.time() - self.used > ABANDONED


@dataclass(frozen=True)
class Kind:
    """Cache files of one kind.

    Attributes:
        name: What the command line calls it.
        content: What the files hold.
        inner: Path of the folder in ``$ISOTUNE_HOME/cache``.
        names: Matches names of finished files.
        drafts: Matches names of unfinished files.
    """

    name: str
    content: str
    inner: str
    names: re.Pattern[str]
    drafts: re.Pattern[str]

    @property
    def folder(self) -> Path:
        """The folder, which need not exist."""
        return home.home() / "cache" / self.inner

    def files(self) -> list[File]:
        """Returns the files, the most recently used first; those of other names are left out."""
        return sorted(self._files(), key=lambda file: -file.used)

    def _files(self) -> Iterator[File]:
        for path, status in _entries(self.folder):
            unfinished = self.drafts.fullmatch(path.name) is not None
            if unfinished or self.names.fullmatch(path.name):
                yield File(path, status.st_size, status.st_mtime, unfinished)

    def make_room(self, added: Path, limit: int) -> None:
        """Removes the least recently used files that are too much beside a new one.

        Args:
            added: The new file, which stays.
            limit: Largest number of bytes of all finished files.

        Raises:
            OSError: The new file has been removed.
        """
        used = added.stat().st_size
        for file in self.files():
            if file.path == added:
                continue
            used += 0 if file.unfinished else file.size
            if file.abandoned or (used > limit and not file.unfinished):
                remove([file])


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yields files and links of a folder, which may be missing, or a link itself."""
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):  # another process has removed it
                status = path.lstat()
                if not S_ISDIR(status.st_mode):
                    yield path, status


def every_file(folder: Path) -> list[File]:
    """Returns all regular files under a folder, which need not exist; links are not followed."""
    return [
        File(path, status.st_size, status.st_mtime)
        for inner, _, _ in os.walk(folder)
        for path, status in _entries(Path(inner))
        if S_ISREG(status.st_mode)
    ]


def remove(files: Iterable[File]) -> list[File]:
    """Removes files; returns those that were there and could be removed."""
    removed = []
    for file in files:
        with suppress(OSError):
            file.path.unlink()
            removed.append(file)
    return removed


def _kind(name: str, content: str, inner: str, key: str, suffix: str, drafts: str = "") -> Kind:
    """Returns the kind of files ``KEY.SUFFIX``, whose drafts are those of atomic files."""
    own = rf"\.{key}\.{suffix}\.(\d+\.[0-9a-f]+|lock)"
    pattern = re.compile(f"{own}|{drafts}" if drafts else own)
    return Kind(name, content, inner, re.compile(rf"{key}\.{suffix}"), pattern)


_SHORT, _LONG = "[0-9a-f]{32}", "[0-9a-f]{64}"

FEATURES = _kind(
    "features",
    "features of frozen backbones",
    "features",
    _LONG,
    "(features|npy)",  # earlier versions wrote .npy without a checksum, which is never read
    r"tmp\w{8}\.part",
)
CHECKED = _kind("checked", "which image files can be read", "checked", _SHORT, "files")
INDEXES = _kind("indexes", "where images are in archives and shards", "indexes", _SHORT, "index")
LOOKS = _kind("looks", "what images look like, to find duplicates", "looks", _SHORT, "looks")
GRAPHS = _kind("graphs", "compiled graphs", "graphs", _LONG, "graph")
PIXELS = Kind(
    "pixels",
    "decoded images of runs that were killed",
    ".",
    re.compile(r"(?!)"),
    re.compile(r"tmp\w{8}\.pixels"),
)

KINDS = (GRAPHS, FEATURES, CHECKED, INDEXES, LOOKS, PIXELS)

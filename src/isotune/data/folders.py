"""What counts in folders of images: which files are images, and which entries are left out."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn
from unicodedata import normalize

from isotune.errors import DatasetError
from isotune.storage.paths import is_file

log = logging.getLogger(__name__)

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    *(".png", ".apng", ".gif", ".webp", ".avif"),
    *(".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".tif", ".tiff", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
)
"""Endings of images, in upper or lower case: those of the formats that
:mod:`isotune.data.identify` knows. ``ImageFolder`` of torchvision takes nine of them."""

HEIF_ENDINGS = (".heic", ".heif", ".hif", ".heics", ".heifs")
"""Endings of images that need the package pillow-heif."""

SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
"""Usual names of the folders of splits, which no class has."""

_JUNK = frozenset(
    {
        "__macosx",  # resource forks in archives from macOS
        "thumbs.db",  # thumbnails of the Windows Explorer
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "@eadir",  # thumbnails of a Synology NAS, which are JPEG files
        "lost+found",
        "__pycache__",
    }
)
"""Names, in lower case, that systems and programs give to files and folders of their own."""

_SHOWN = 5
"""Number of endings that are named; the others are counted together."""

_LONGEST = 12
"""Number of characters of an ending; what is longer is the rest of a name with a dot."""


@cache
def endings() -> tuple[str, ...]:
    """Returns the endings of images that can be read here."""
    return ENDINGS + HEIF_ENDINGS if find_spec("pillow_heif") else ENDINGS


def listed_endings() -> str:
    """Returns the endings of images for a message."""
    return f"names of images end in {', '.join(endings())}"


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return name.lower().endswith(endings())


def is_hidden(name: str) -> bool:
    """Whether an entry of a folder is hidden, or one that a system or a program keeps there.

    Notebooks leave copies in ``.ipynb_checkpoints``, macOS leaves ``._1.jpg`` beside ``1.jpg``:
    they are neither classes nor images.
    """
    return name.startswith(".") or name.lower() in _JUNK


def one_form(name: str) -> str:
    """Returns a name in one Unicode form (NFC): macOS and Linux write é in two."""
    return normalize("NFC", name)


class LeftOut:
    """Counts the entries of folders that are not used.

    Attributes:
        hidden: Number of hidden entries.
        endings: Numbers of files, by their ending.
        beside: The same of files beside the folders of classes.
        entries: Numbers of entries of archives, by what they are.
    """

    def __init__(self) -> None:
        self.hidden = 0
        self.entries: Counter[str] = Counter()
        self.endings: Counter[str] = Counter()
        self.beside: Counter[str] = Counter()

    def add_file(self, name: str, beside: bool = False) -> None:
        """Counts a file by its ending.

        Args:
            name: Its name.
            beside: Whether it lies beside the folders of classes, in none of them.
        """
        ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path is slow)
        usual = 1 < len(ending) <= _LONGEST
        (self.beside if beside else self.endings)[ending if usual else "without an ending"] += 1

    def report(self, place: object) -> None:
        """Logs in one line what was left out of `place`, if anything was."""
        entries = "hidden entry" if self.hidden == 1 else "hidden entries"
        parts = [f"{self.hidden} {entries}"] if self.hidden else []
        parts += _counted(self.endings)
        parts += [f"{text} beside the class folders" for text in _counted(self.beside)]
        parts += [f"{text} ({count})" for text, count in self.entries.items() if count]
        if not parts:
            return
        heif = sorted({*self.endings, *self.beside} & {*HEIF_ENDINGS})
        hint = f"; to read {' and '.join(heif)}: pip install pillow-heif" if heif else ""
        log.warning("%s: left out %s%s", place, ", ".join(parts), hint)


def _counted(endings: Counter[str]) -> list[str]:
    common = endings.most_common()
    parts = [f"{count} {ending}" for ending, count in common[:_SHOWN]]
    if rest := sum(count for _, count in common[_SHOWN:]):
        parts.append(f"{rest} with other endings")
    return parts


def subfolders(folder: Path, left: LeftOut, hidden: tuple[str, ...] = ()) -> list[str]:
    """Returns the names of the folders in `folder`, sorted, without hidden ones.

    Args:
        folder: The folder.
        left: Counts its other entries.
        hidden: Names that count even if they are hidden.

    Raises:
        DatasetError: It cannot be read.
    """
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name) and entry.name not in hidden:
                    left.hidden += 1
                elif entry.is_dir():
                    names.append(entry.name)
                else:
                    left.add_file(entry.name, beside=True)
    except OSError as error:
        _refuse(error)
    return sorted(names)


def files_ending(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """Returns the files of a folder whose names end so, in any case, sorted; hidden ones left out.

    Raises:
        DatasetError: The folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read: {error.strerror}.") from error
    return [
        path
        for path in entries
        if path.name.lower().endswith(endings) and not is_hidden(path.name) and is_file(path)
    ]


def images_inside(folder: str, name: str, left: LeftOut) -> Iterator[str]:
    """Yields the paths, relative to `folder`, of the images in its subfolder `name`.

    They are sorted by subfolder, as ``ImageFolder`` does. Links are followed.

    Args:
        folder: A folder.
        name: A folder in it.
        left: Counts the files that are left out.

    Raises:
        DatasetError: A folder cannot be read.
    """
    for place, files in sorted(_walk(f"{folder}{os.sep}{name}", left)):
        inside = place[len(folder) + 1 :]
        for file in sorted(files):
            if is_image(file):
                yield f"{inside}{os.sep}{file}"
            else:
                left.add_file(file)


def _walk(top: str, left: LeftOut) -> Iterator[tuple[str, list[str]]]:
    """Yields the folders in `top`, and itself, with the names of their files."""
    for place, folders, files in os.walk(top, onerror=_refuse, followlinks=True):
        shown = [name for name in folders if not is_hidden(name)]
        seen = [name for name in files if not is_hidden(name)]
        left.hidden += len(folders) + len(files) - len(shown) - len(seen)
        folders[:] = [name for name in shown if not _leads_back(place, name)]
        yield place, seen


def _leads_back(place: str, name: str) -> bool:
    """Whether a folder is a link to one that contains it: walking it would never end."""
    path = Path(place, name)
    return path.is_symlink() and Path(place).resolve().is_relative_to(path.resolve())


def _refuse(error: OSError) -> NoReturn:
    raise DatasetError(f"{error.filename}: cannot be read: {error.strerror}.") from error

"""Format ``folder``: a folder for each split, in it a folder for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np

from isotune.data.caches.files import FolderFiles
from isotune.data.caches.stamps import Digests
from isotune.errors import DatasetError, nearest
from isotune.interfaces.dataset import DatasetFormat, ImageSource
from isotune.storage.paths import is_dir

if TYPE_CHECKING:
    from PIL import Image

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Suffixes of images, in upper or lower case: those of torchvision's ``ImageFolder``."""


class FolderDataset(DatasetFormat):
    """A folder for each split, in it a folder of images for each class (``ImageFolder``).

    Attributes:
        splits: Names of the splits' folders.
    """

    format: Literal["folder"] = "folder"

    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens a split."""
        return FolderSource(folder, split, classes)


class FolderSource(ImageSource):
    """A split of a dataset in folders, with the images and the order of ``ImageFolder``.

    Classes are sorted as Python strings. Images may be in subfolders of the class's folder,
    links are followed, hidden files count. Images are read when they are loaded.

    Args:
        root: The dataset's folder.
        split: Name of the split's folder in it.
        classes: The classes it must have, in label order; None takes those it has.

    Attributes:
        folder: The split's folder.
        names: Paths of the images, relative to it.
        files: What earlier runs found out about the images' files.

    Raises:
        DatasetError: A folder is missing, a class has no image, or classes differ.
    """

    def __init__(
        self, root: str | Path, split: str, classes: tuple[str, ...] | None = None
    ) -> None:
        self.folder = _split_folder(Path(root), split)
        names = _subfolders(self.folder)
        if not names:
            raise DatasetError(f"{self.folder}: there is no class folder in it.")
        if classes is not None:
            _compare(self.folder, names, classes)
        self.classes = tuple(names) if classes is None else classes
        self.names, labels = _index(self.folder, self.classes)
        self.labels = np.array(labels, dtype=np.int32)
        self.files = FolderFiles(self.folder, self.names)

    def path(self, index: int) -> Path:
        """Returns the path of image `index`."""
        return Path(self.identify(index))

    def load(self, index: int) -> Image.Image:
        """Decodes image `index` to RGB, upright.

        Raises:
            DatasetError: It cannot be read.
        """
        from isotune.data.decode import open_rgb

        return open_rgb(self.path(index))

    def identify(self, index: int) -> str:
        """Returns the path of image `index`."""
        return f"{self.folder}{os.sep}{self.names[index]}"

    def name(self, index: int) -> str:
        """Returns the path of image `index` in the split's folder, with slashes."""
        return self.names[index].replace(os.sep, "/")

    def digests(self) -> Digests:
        """Returns digests of the files' bytes; files that have not changed are not read again."""
        return self.files.digests()


def _split_folder(root: Path, split: str) -> Path:
    if not is_dir(root):
        raise DatasetError(f"{root}: there is no such dataset folder.")
    folder = root / split
    if not is_dir(folder):
        names = _subfolders(root)
        there = f"It has: {', '.join(names)}." if names else "It has no folder at all."
        raise DatasetError(f"{root}: has no split '{split}'.{nearest(split, names)} {there}")
    return folder


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise DatasetError(f"{error.filename}: cannot be read: {error.strerror}.") from error


def _compare(folder: Path, present: Sequence[str], expected: Sequence[str]) -> None:
    missing = sorted(set(expected) - set(present))
    surplus = sorted(set(present) - set(expected))
    complaints = []
    if missing:
        complaints.append(f"it lacks {_some(missing)}")
    if surplus:
        complaints.append(f"it has {_some(surplus)} beside them")
    if complaints:
        raise DatasetError(
            f"{folder}: its class folders should be those of training, but"
            f" {' and '.join(complaints)}."
        )


def _some(names: Sequence[str], most: int = 10) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _index(folder: Path, classes: Sequence[str]) -> tuple[list[str], list[int]]:
    """Returns the paths of the images, relative to `folder`, and their labels."""
    names: list[str] = []
    labels: list[int] = []
    empty = []
    for name in sorted(classes):
        before = len(names)
        names.extend(class_images(str(folder), name))
        labels.extend([classes.index(name)] * (len(names) - before))
        if len(names) == before:
            empty.append(name)
    if empty:
        raise DatasetError(
            f"{folder}: no image in class {_some(empty)}; names of images end in"
            f" {', '.join(EXTENSIONS)}."
        )
    return names, labels


def class_images(folder: str, name: str) -> Iterator[str]:
    """Yields the paths, relative to `folder`, of a class's images, sorted by subfolder."""
    for place, files in sorted(_walk(f"{folder}{os.sep}{name}")):
        inside = place[len(folder) + 1 :]
        for file in sorted(files):
            if file.lower().endswith(EXTENSIONS):
                yield f"{inside}{os.sep}{file}"


def _walk(top: str) -> Iterator[tuple[str, list[str]]]:
    for place, folders, files in os.walk(top, onerror=_refuse, followlinks=True):
        folders[:] = [name for name in folders if not _leads_back(place, name)]
        yield place, files


def _leads_back(place: str, name: str) -> bool:
    """Whether a folder is a link to one that contains it: walking it would never end."""
    path = Path(place, name)
    return path.is_symlink() and Path(place).resolve().is_relative_to(path.resolve())

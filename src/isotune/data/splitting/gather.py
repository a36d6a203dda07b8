"""Gathers the images of class folders: which are readable, and which are the same."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isotune.data.decode import reason
from isotune.data.integrity.check import BrokenImage, check_file, in_threads
from isotune.data.sources.folder import EXTENSIONS, class_images
from isotune.errors import DatasetError

SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


@dataclass
class Gathered:
    """The images of one class.

    Attributes:
        files: one file for each different image, the first by path, by the SHA-256 of its
            bytes.
        duplicates: further files of the same bytes.
    """

    files: dict[str, Path] = field(default_factory=dict)
    duplicates: list[Path] = field(default_factory=list)


def class_folders(sources: Sequence[str | Path]) -> dict[str, Path]:
    """Returns the class folders that are meant, by class, sorted.

    Args:
        sources: a folder for each class, which has its name; or one folder, whose folders are
            the classes unless there are images beside them. Folders whose names begin with a
            dot are none.

    Raises:
        DatasetError: one is missing, two have the same name, or a dataset is split already.
    """
    folders = [Path(os.path.abspath(source)) for source in sources]  # noqa: PTH100 (links stay)
    for folder in folders:
        if not folder.is_dir():
            raise DatasetError(f"{folder}: there is no such folder of images.")
    if len(folders) == 1 and (inside := _class_folders_in(folders[0])):
        folders = inside
    found: dict[str, Path] = {}
    for folder in sorted(folders, key=lambda folder: folder.name):
        if folder.name in found:
            raise DatasetError(
                f"{folder} and {found[folder.name]}: two folders for class '{folder.name}'."
            )
        found[folder.name] = folder
    if set(found) <= SPLIT_NAMES:
        raise DatasetError(
            f"{next(iter(found.values())).parent}: is split already into"
            f" {' and '.join(found)}; name the class folders of one of them."
        )
    return found


def _class_folders_in(parent: Path) -> list[Path]:
    with os.scandir(parent) as scan:
        entries = [entry for entry in scan if not entry.name.startswith(".")]
    folders = [Path(entry.path) for entry in entries if entry.is_dir()]
    if folders and any(entry.name.lower().endswith(EXTENSIONS) for entry in entries):
        raise DatasetError(
            f"{parent}: has images beside folders; name the folders, one for each class."
        )
    return folders


def gather(
    folders: dict[str, Path], workers: int | None = None
) -> tuple[dict[str, Gathered], list[BrokenImage]]:
    """Reads every image and returns the different readable ones by class, and broken ones.

    Raises:
        DatasetError: a class has no image.
    """
    classes = {name: Gathered() for name in folders}
    broken: list[BrokenImage] = []
    files = [
        (name, folder.parent / image)
        for name, folder in folders.items()
        for image in sorted(class_images(str(folder.parent), folder.name))
    ]
    found = in_threads(lambda index: _examine(files[index][1]), range(len(files)), workers)
    for index, ((name, path), (digest, wrong)) in enumerate(zip(files, found, strict=True)):
        if wrong:
            broken.append(BrokenImage(index, str(path), wrong))
        elif digest in classes[name].files:
            classes[name].duplicates.append(path)
        else:
            classes[name].files[digest] = path
    for name, gathered in classes.items():
        if not gathered.files:
            raise DatasetError(
                f"{folders[name]}: there is no readable image in it; names of images end in"
                f" {', '.join(EXTENSIONS)}."
            )
    return classes, broken


def _examine(path: Path) -> tuple[str, str]:
    """Returns the SHA-256 of a file, and what is wrong with it as an image."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return "", check_file(path, status)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return "", reason(error)
    return digest, check_file(path, status)

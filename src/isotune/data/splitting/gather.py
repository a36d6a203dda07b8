"""Finds the readable images of class folders and their duplicates."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isotune.data.decode import reason
from isotune.data.folders import (
    SPLIT_NAMES,
    LeftOut,
    images_inside,
    is_hidden,
    is_image,
    listed_endings,
    one_form,
)
from isotune.data.integrity.check import BrokenImage, check_image
from isotune.data.workers import in_threads
from isotune.errors import DatasetError
from isotune.storage.paths import is_dir
from isotune.storage.untrusted import open_regular


@dataclass
class Gathered:
    """The images of one class.

    Attributes:
        files: distinct images by the SHA-256 of their bytes; of equal files, the first by path.
        duplicates: further files with the same bytes.
    """

    files: dict[str, Path] = field(default_factory=dict)
    duplicates: list[Path] = field(default_factory=list)


def class_folders(sources: Sequence[str | Path]) -> dict[str, Path]:
    """Returns the folder of each class, sorted by class name.

    Args:
        sources: a folder for each class, named like it; or one folder that contains the class
            folders. Hidden folders are left out.

    Raises:
        DatasetError: a folder is missing, two have the same name, a folder contains both images
            and folders, or the dataset is already split.
    """
    folders = [Path(os.path.abspath(source)) for source in sources]  # noqa: PTH100 (links stay)
    for folder in folders:
        if not is_dir(folder):
            raise DatasetError(f"{folder}: there is no such folder of images.")
    if len(folders) == 1 and (inside := _class_folders_in(folders[0])):
        folders = inside
    classes: dict[str, Path] = {}
    forms: dict[str, Path] = {}
    for folder in sorted(folders, key=lambda folder: folder.name):
        other = forms.setdefault(one_form(folder.name), folder)
        if other is not folder:
            raise DatasetError(f"{folder} and {other}: two folders for class '{folder.name}'.")
        classes[folder.name] = folder
    if set(classes) <= SPLIT_NAMES:
        raise DatasetError(
            f"{next(iter(classes.values())).parent}: is split already into"
            f" {' and '.join(classes)}; name the class folders of one of them."
        )
    return classes


def _class_folders_in(parent: Path) -> list[Path]:
    with os.scandir(parent) as scan:
        entries = [entry for entry in scan if not is_hidden(entry.name)]
    folders = [Path(entry.path) for entry in entries if entry.is_dir()]
    if folders and any(is_image(entry.name) for entry in entries):
        raise DatasetError(
            f"{parent}: has images beside folders; name the folders, one for each class."
        )
    return folders


def gather(
    folders: dict[str, Path], workers: int | None = None
) -> tuple[dict[str, Gathered], list[BrokenImage]]:
    """Reads every image; returns the readable images by class, and the broken images.

    Args:
        folders: the folder of each class.
        workers: number of reading threads; None chooses.

    Raises:
        DatasetError: a class has no readable image.
    """
    classes = {name: Gathered() for name in folders}
    broken: list[BrokenImage] = []
    files: list[tuple[str, Path]] = []
    left = LeftOut()
    for name, folder in folders.items():
        images = sorted(images_inside(str(folder.parent), folder.name, left))
        files.extend((name, folder.parent / image) for image in images)
    left.report(", ".join(sorted({str(folder.parent) for folder in folders.values()})))
    results = in_threads(lambda index: _examine(files[index][1]), range(len(files)), workers)
    for index, ((name, path), (digest, problem)) in enumerate(zip(files, results, strict=True)):
        if problem:
            broken.append(BrokenImage(index, str(path), problem))
        elif digest in classes[name].files:
            classes[name].duplicates.append(path)
        else:
            classes[name].files[digest] = path
    for name, gathered in classes.items():
        if not gathered.files:
            raise DatasetError(
                f"{folders[name]}: there is no readable image in it; {listed_endings()}."
            )
    return classes, broken


def _examine(path: Path) -> tuple[str, str]:
    """Returns the SHA-256 of a file, and why it is not a readable image (or ``""``)."""
    try:
        with open_regular(path, follow=True) as file:
            digest = hashlib.sha256(file.read()).hexdigest()
            file.seek(0)
            return digest, check_image(file, str(path))
    except OSError as error:
        return "", reason(error)

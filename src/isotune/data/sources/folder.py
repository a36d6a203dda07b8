"""Format ``folder``: a folder for each split, in it a folder for each class."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from isotune.data.caches.files import FolderFiles
from isotune.data.class_folders import by_form, check_classes, other_folders, refuse_splits
from isotune.data.folders import (
    LeftOut,
    images_inside,
    listed_endings,
    one_form,
    subfolders,
)
from isotune.data.sources.encoded import EncodedSource
from isotune.errors import DatasetError, listed
from isotune.interfaces.dataset import DatasetFormat, ImageSource, NoSplitError
from isotune.spec.dataset import MAX_PIXELS
from isotune.storage.paths import is_dir


class FolderDataset(DatasetFormat):
    """A folder for each split, in it a folder of images for each class (``ImageFolder``).

    Attributes:
        splits: Names of the splits' folders.
    """

    format: Literal["folder"] = "folder"

    @classmethod
    def recognizes(cls, place: Path) -> bool:
        """Whether it is a folder with folders in it."""
        return is_dir(place) and bool(subfolders(place, LeftOut()))

    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens a split."""
        return FolderSource(folder, split, classes, self.max_pixels)

    def open_all(self, folder: Path, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens the class folders in the dataset's folder."""
        source = FolderSource(folder, None, classes, self.max_pixels)
        refuse_splits(folder, source.classes)
        return source


class FolderSource(EncodedSource):
    """A split of a dataset in folders, with the order of ``ImageFolder``.

    Classes are sorted as Python strings. Images may be in subfolders of the class's folder,
    links are followed, hidden files and folders are left out
    (:func:`isotune.data.folders.is_hidden`). Images are read when they are loaded. What is left
    out is logged in one line.

    Args:
        root: The dataset's folder.
        split: Name of the split's folder in it; None for one that has the class folders itself.
        classes: The classes it must have, in label order; None takes those it has. A folder's
            name may be the class's in another Unicode form.
        max_pixels: Largest number of pixels of an image.

    Attributes:
        folder: The folder with the class folders.
        max_pixels: Largest number of pixels of an image.
        names: Paths of the images, relative to it.
        files: What earlier runs found out about the images' files.

    Raises:
        DatasetError: A folder is missing, a class has no image, or classes differ.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | None,
        classes: tuple[str, ...] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.folder = _split_folder(Path(root), split)
        self.max_pixels = max_pixels
        left = LeftOut()
        folders = by_form(self.folder, subfolders(self.folder, left, classes or ()))
        if classes is not None:
            check_classes(self.folder, folders, classes)
        self.classes = tuple(folders.values()) if classes is None else classes
        self.names, labels = _index(self.folder, self.classes, folders, left)
        self.labels = np.array(labels, dtype=np.int32)
        self.files = FolderFiles(self.folder, self.names)
        left.report(self.folder)

    def path(self, index: int) -> Path:
        """Returns the path of image `index`."""
        return Path(self.identify(index))

    def name(self, index: int) -> str:
        """Returns the path of image `index` in the split's folder, with slashes."""
        return self.names[index].replace(os.sep, "/")


def _split_folder(root: Path, split: str | None) -> Path:
    if not is_dir(root):
        raise DatasetError(f"{root}: there is no such dataset folder.")
    if split is None:
        return root
    if is_dir(root / split):
        return root / split
    names = subfolders(root, LeftOut())
    for name in names:
        if one_form(name) == one_form(split):
            return root / name
    raise NoSplitError(f"{root}: has no split '{split}'.{_what_there_is(root, split, names)}")


def _what_there_is(root: Path, split: str, names: Sequence[str]) -> str:
    if not names:
        return f" It has no folder at all{_other_format(root)}."
    return other_folders(
        split,
        names,
        f"make splits of them: set dataset.split to {{val: 0.2}}, or isotune split {root}"
        " --train 0.8 --val 0.2 -o NEW_FOLDER",
    )


_FORMATS = {".zip": "archive", ".tar": "archive' or 'webdataset", ".parquet": "parquet"}
_FORMATS |= {".csv": "table", ".tsv": "table", ".jsonl": "table"}
"""Formats of datasets that are files, by the files' ending."""


def _other_format(root: Path) -> str:
    """Returns which other format the files of a folder seem to have."""
    found = next((path for path in sorted(root.iterdir()) if path.suffix in _FORMATS), None)
    if found is None:
        return ""
    return f", but {found.name}: dataset.format should perhaps be '{_FORMATS[found.suffix]}'"


def _index(
    folder: Path, classes: Sequence[str], folders: Mapping[str, str], left: LeftOut
) -> tuple[list[str], list[int]]:
    """Returns the paths of the images, relative to `folder`, and their labels.

    Args:
        folder: The split's folder.
        classes: Class names, in label order.
        folders: Names of the class folders, by the class's name in one Unicode form.
        left: Counts the files that are left out.
    """
    names: list[str] = []
    labels: list[int] = []
    empty = []
    for name in sorted(classes):
        before = len(names)
        names.extend(images_inside(str(folder), folders[one_form(name)], left))
        labels.extend([classes.index(name)] * (len(names) - before))
        if len(names) == before:
            empty.append(name)
    if empty:
        left.report(folder)
        raise DatasetError(f"{folder}: no image in class {listed(empty)}; {listed_endings()}.")
    return names, labels


def check_several_classes(source: ImageSource, split: str | None = None) -> None:
    """Refuses to train on a single class, on which every model is right.

    Args:
        source: The training images, or all of a dataset that has no splits.
        split: The split's name; None if there is none.

    Raises:
        DatasetError: There is only one class. The message says what is in its folder.
    """
    if len(source.classes) > 1:
        return
    (name,) = source.classes
    has = "there is only one class" if split is None else f"the split '{split}' has only one class"
    message = f"{has}, '{name}', and training needs two at least"
    if not isinstance(source, FolderSource):
        raise DatasetError(f"{message}.")
    inner = f"{split}/{name}" if split is not None else str(source.folder / name)
    field = "dataset.splits.train" if split is not None else "dataset.path"
    inside = subfolders(source.folder / name, LeftOut())
    advice = "put a folder for each class into it"
    if inside:
        folders = "folder" if len(inside) == 1 else "folders"
        advice = (
            f"{inner} holds the {folders} {listed(inside)}: if these are the classes, set {field}"
            f" to '{inner}'"
        )
    raise DatasetError(f"{source.folder}: {message}; {advice}.")

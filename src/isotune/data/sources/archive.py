"""Format ``archive``: zip and tar archives with a folder for each class, read in place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import compress, pairwise
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.data.archives.files import MemberFiles
from isotune.data.archives.members import Members
from isotune.data.archives.open import open_archive
from isotune.data.archives.tree import Tree
from isotune.data.caches.inside import Containers
from isotune.data.class_folders import by_form, check_classes, other_folders, refuse_splits
from isotune.data.folders import (
    LeftOut,
    files_ending,
    is_hidden,
    is_image,
    listed_endings,
    one_form,
)
from isotune.data.names import Names
from isotune.data.sources.encoded import EncodedSource
from isotune.errors import DatasetError, listed, nearest
from isotune.interfaces.dataset import DatasetFormat, ImageSource, NoSplitError
from isotune.spec.dataset import MAX_PIXELS
from isotune.storage.paths import is_dir, is_file

ENDINGS = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Endings of archives. Those of compressed ones are known to say that they have to be unpacked."""


class ArchiveDataset(DatasetFormat):
    """A zip or an uncompressed tar archive that is not unpacked, with the folders of the format
    ``folder`` inside; or a folder with an archive for each split, such as ``train.zip``.

    Attributes:
        path: The archive, or the folder with archives; as for other formats absolute, relative to
            the spec's file or the working directory, or under ``$ISOTUNE_HOME/datasets``.
        splits: Names of the splits' folders in the archive, or of their archives without the
            ending.
    """

    may_be_file: ClassVar[bool] = True

    format: Literal["archive"] = "archive"

    @classmethod
    def recognizes(cls, place: Path) -> bool:
        """Whether it is an archive, or a folder with archives."""
        if is_dir(place):
            return bool(files_ending(place, ENDINGS))
        return place.name.lower().endswith(ENDINGS)

    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens a split."""
        archive, whole = _find(folder, split)
        members = open_archive(archive)
        tree = Tree(members.names)
        inside = tree.find(split) if whole else (tree.find(split) or tree.innermost())
        if inside is None:
            raise NoSplitError(f"{archive}: has no split '{split}'.{_what_there_is(tree, split)}")
        return ArchiveSource(archive, members, tree, inside, classes, self.max_pixels)

    def open_all(self, folder: Path, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens the class folders of a single archive."""
        archive, _ = _find(folder, None)
        members = open_archive(archive)
        tree = Tree(members.names)
        source = ArchiveSource(archive, members, tree, tree.innermost(), classes, self.max_pixels)
        refuse_splits(archive, source.classes)
        return source


class ArchiveSource(EncodedSource):
    """A split in an archive: the same images in the same order as those of the unpacked folder.

    Hidden entries are left out, and what is left out is logged in one line. Of several entries with
    the same name the last one counts, as when they are unpacked.

    Args:
        archive: The archive's path.
        members: What is in it.
        tree: The folders in it.
        inside: The split's folder in it.
        classes: The classes it must have, in label order; None takes those it has. A folder's
            name may be the class's in another Unicode form.
        max_pixels: Largest number of pixels of an image.

    Attributes:
        names: Paths of the images in the split's folder.

    Raises:
        DatasetError: A class has no image, or classes differ.
    """

    def __init__(
        self,
        archive: Path,
        members: Members,
        tree: Tree,
        inside: str,
        classes: tuple[str, ...] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.max_pixels = max_pixels
        place = f"{archive}/{inside}".rstrip("/")
        folders = by_form(place, tree.subfolders(inside))
        if classes is not None:
            check_classes(place, folders, classes)
        self.classes = tuple(folders.values()) if classes is None else classes
        left = LeftOut()
        left.entries.update(members.left_out)
        ranks = {folders[one_form(name)]: rank for rank, name in enumerate(sorted(self.classes))}
        images = _images(members, inside, ranks, left)
        left.report(place)
        _check_each_class(place, sorted(self.classes), images)
        self.labels = _labels(self.classes, images)
        self.names = Names.of(f"{image[1]}/{image[2]}" for image in images)
        numbers = np.array([image[3] for image in images], np.int64)
        self.files = MemberFiles(
            os.fsencode(archive.resolve()) + b"\0" + inside.encode("utf-8", "surrogateescape"),
            Containers([archive], [members.stamp]),
            np.zeros(len(numbers), np.int32),
            members.places[numbers],
            place,
            self.names,
        )

    def name(self, index: int) -> str:
        """Returns the path of image `index` in the split's folder, with slashes."""
        return self.names[index]


_Image = tuple[int, str, str, int]
"""An image: its class's position among sorted ones, its folder in the split, its name, and its
number in the archive."""


def _images(members: Members, inside: str, ranks: Mapping[str, int], left: LeftOut) -> list[_Image]:
    """Returns the images in a folder of an archive, sorted as ``ImageFolder`` does.

    Args:
        members: What is in the archive.
        inside: The folder.
        ranks: Positions of the class folders in it.
        left: Counts the files that are left out.
    """
    found: list[_Image] = []
    hidden: dict[str, bool] = {"": False}
    for number, name in enumerate(members.names):
        if not name.startswith(inside) or name.endswith("/"):
            continue
        place, _, file = name[len(inside) :].rpartition("/")
        if place not in hidden:
            hidden[place] = any(map(is_hidden, place.split("/")))
        if hidden[place] or is_hidden(file):
            left.hidden += 1
        elif place and is_image(file):
            found.append((ranks[place.partition("/")[0]], place, file, number))
        else:
            left.add_file(file, beside=not place)
    found.sort()
    last = [this[:3] != after[:3] for this, after in pairwise(found)] + [True] * bool(found)
    left.entries["earlier entries of the same name"] += len(found) - sum(last)
    return list(compress(found, last))


def _check_each_class(place: str, classes: Sequence[str], images: Sequence[_Image]) -> None:
    present = {image[0] for image in images}
    empty = [name for rank, name in enumerate(classes) if rank not in present]
    if empty:
        raise DatasetError(f"{place}: no image in class {listed(empty)}; {listed_endings()}.")


def _labels(classes: Sequence[str], images: Sequence[_Image]) -> NDArray[np.int32]:
    labels = np.array([classes.index(name) for name in sorted(classes)], np.int32)
    return labels[[image[0] for image in images]]


def _find(root: Path, split: str | None) -> tuple[Path, bool]:
    """Returns the archive of a split, and whether it is that of the whole dataset.

    Args:
        root: The archive, or a folder.
        split: The split's name; None finds the archive of a dataset without splits.

    Raises:
        DatasetError: There is none, or there are several.
    """
    if is_file(root):
        return root, True
    if not is_dir(root):
        raise DatasetError(f"{root}: there is no such archive or folder of archives.")
    archives = files_ending(root, ENDINGS)
    if split is not None:
        folder, _, stem = split.rpartition("/")
        inside = root / folder
        beside = files_ending(inside, ENDINGS) if folder and is_dir(inside) else archives
        named = [path for path in beside if one_form(path.name.partition(".")[0]) == one_form(stem)]
        if len(named) == 1:
            return named[0], False
        if named:
            names = listed([path.name for path in named])
            raise DatasetError(f"{root}: has several archives of the split '{split}': {names}.")
    if len(archives) == 1:
        return archives[0], True
    kind = DatasetError if split is None or not archives else NoSplitError
    raise kind(f"{root}: {_which_there_are(archives, split)}")


def _which_there_are(archives: Sequence[Path], split: str | None) -> str:
    names = [path.name for path in archives]
    if not names:
        return (
            f"there is no archive in it; their names end in {' or '.join(ENDINGS[:2])}. Of folders"
            " of images, also those that dataset.url unpacked, the format is 'folder'."
        )
    if split is None:
        return f"has several archives, {listed(names)}; name one of them in dataset.path."
    guess = nearest(split, [name.partition(".")[0] for name in names])
    return (
        f"has no archive of the split '{split}'.{guess} It has {listed(names)}; dataset.splits"
        " names those to train and to validate on, without the ending."
    )


def _what_there_is(tree: Tree, split: str) -> str:
    names = tree.subfolders(tree.of_splits())
    if not names:
        return " It has no folder at all."
    return other_folders(split, names, "divide them: set dataset.split to {val: 0.2}")

"""Creates a dataset with splits from folders of images."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isotune.data.integrity.check import BrokenImage
from isotune.data.splitting.gather import Gathered, class_folders, gather
from isotune.data.splitting.partition import Counts, counts, partition
from isotune.errors import DatasetError, SpecError
from isotune.printable import csv_cell
from isotune.spec.split import Size, check_sizes
from isotune.storage.atomic import atomic_folder
from isotune.storage.paths import is_new_or_empty

LISTING = "images.csv"
"""File in the dataset's folder that lists the source file of each image."""

DIGITS = 4
"""Smallest number of digits in the number of an image."""


@dataclass(frozen=True)
class SplitReport:
    """The result of :func:`split`, or of its dry run.

    Attributes:
        folder: the dataset's folder.
        counts: numbers of images by split and class.
        unused: number of distinct images in no split, by class.
        duplicates: number of omitted files with the bytes of another file of the class, by class.
        shared: files with the same bytes in several classes; each such image is in one split.
        broken: images that cannot be read, which are omitted.
    """

    folder: Path
    counts: Counts
    unused: dict[str, int]
    duplicates: dict[str, int]
    shared: list[tuple[Path, ...]]
    broken: list[BrokenImage]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, sorted."""
        return tuple(self.unused)


def split(
    sources: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    train: Size | None = None,
    val: Size | None = None,
    test: Size | None = None,
    seed: int = 0,
    link: bool = False,
    dry_run: bool = False,
    workers: int | None = None,
) -> SplitReport:
    """Writes ``OUTPUT/train/CLASS/CLASS_0000.jpg`` and so on from folders of images.

    The splits are stratified by class. An image's split depends on the images' bytes, the class
    name and the seed, not on file names or their order. Only one of several files with the same
    bytes is used, and no image is in two splits.

    Args:
        sources: a folder for each class, or one folder that contains the class folders.
        output: the dataset's folder, new or empty. It appears only when it is complete.
        train: number of images of each class, as a count (int) or a fraction (float) of the
            class; None creates no such split.
        val: the same for ``val``.
        test: the same for ``test``.
        seed: selects the random assignment, 0 to 2**64 - 1.
        link: whether to create symbolic links instead of copies.
        dry_run: whether to write nothing.
        workers: number of reading threads; None chooses.

    Raises:
        SpecError: the sizes or the seed are invalid.
        DatasetError: a folder is missing, in use or cannot be written, or there are too few
            images.
    """
    sizes = {
        name: size
        for name, size in (("train", train), ("val", val), ("test", test))
        if size is not None
    }
    check_sizes(sizes)
    if not 0 <= seed < 2**64:
        raise SpecError(f"a seed should be 0 to 2**64 - 1, not {seed}.")
    folder = Path(os.path.abspath(output))  # noqa: PTH100 (links stay)
    folders = class_folders([sources] if isinstance(sources, (str, Path)) else sources)
    _check_output(folder, folders)
    classes, broken = gather(folders, workers)
    per_split = counts(sizes, {name: len(images.files) for name, images in classes.items()})
    assigned = partition({name: images.files for name, images in classes.items()}, per_split, seed)
    if not dry_run:
        _write(folder, classes, assigned, link)
    return SplitReport(
        folder=folder,
        counts=per_split,
        unused={
            name: len(images.files) - sum(by_class[name] for by_class in per_split.values())
            for name, images in classes.items()
        },
        duplicates={name: len(images.duplicates) for name, images in classes.items()},
        shared=_shared(classes),
        broken=broken,
    )


def _check_output(folder: Path, classes: dict[str, Path]) -> None:
    for source in classes.values():
        if folder.resolve().is_relative_to(source.resolve()):
            raise DatasetError(f"{folder}: is inside of {source}, whose images are to be split.")
    if not is_new_or_empty(folder):
        raise DatasetError(f"{folder}: is there already; the output should be new or empty.")


def _shared(classes: dict[str, Gathered]) -> list[tuple[Path, ...]]:
    files: dict[str, list[Path]] = {}
    for images in classes.values():
        for digest, path in images.files.items():
            files.setdefault(digest, []).append(path)
    return sorted(tuple(paths) for paths in files.values() if len(paths) > 1)


def _write(
    folder: Path,
    classes: dict[str, Gathered],
    assigned: dict[str, dict[str, list[str]]],
    link: bool,
) -> None:
    try:
        with (
            atomic_folder(folder) as content,
            (content / LISTING).open("w", encoding="utf-8", newline="") as file,
        ):
            listing = csv.writer(file, lineterminator="\n")
            listing.writerow(["image", "source"])
            for image, source in _names(classes, assigned):
                _place(source, content / image, link)
                listing.writerow([csv_cell(image.as_posix()), csv_cell(str(source))])
    except OSError as error:
        raise DatasetError(
            f"{folder}: cannot be written: {error.strerror or error}"
            f" ({error.filename or folder.parent})."
        ) from error


def _names(
    classes: dict[str, Gathered], assigned: dict[str, dict[str, list[str]]]
) -> list[tuple[Path, Path]]:
    """Returns the path of each image in the dataset, and its source file."""
    result = []
    for split_name, by_class in assigned.items():
        for name, digests in by_class.items():
            digits = max(DIGITS, len(str(len(digests) - 1)))
            for number, digest in enumerate(digests):
                source = classes[name].files[digest]
                file = f"{name}_{number:0{digits}}{source.suffix}"
                result.append((Path(split_name, name, file), source))
    return result


def _place(source: Path, target: Path, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        target.symlink_to(source)
    else:
        shutil.copyfile(source, target)

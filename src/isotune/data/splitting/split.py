"""Makes a dataset of splits out of folders of images."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isotune.data.integrity.check import BrokenImage
from isotune.data.splitting.gather import Gathered, class_folders, gather
from isotune.data.splitting.partition import Counts, Size, check_sizes, counts, partition
from isotune.errors import DatasetError, SpecError

LISTING = "images.csv"
"""File in the dataset's folder that says which file each image was."""

DIGITS = 4
"""Digits of an image's number, if they will do."""


@dataclass(frozen=True)
class SplitReport:
    """What :func:`split` has made, or would make.

    Attributes:
        folder: the dataset's folder.
        counts: images by split and class.
        unused: different images that no split took, by class.
        duplicates: further files of the same bytes within a class, which were left out, by class.
        shared: files of the same bytes in several classes; each such image is in one split.
        broken: images that cannot be read, which were left out.
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
    """Writes ``OUTPUT/train/CLASS/CLASS_0000.jpg`` and so on, out of folders of images.

    Every class is divided by itself. Which image goes where depends on the images' bytes,
    the class's name and the seed, not on files' names or their order. Of files with the same
    bytes one is kept; no image is in two splits.

    Args:
        sources: a folder for each class, or one folder whose folders are the classes.
        output: the dataset's folder, new or empty; it appears when it is whole, or not at all.
        train: how many images of each class: a count (int), or a fraction (float) of those
            there are; None makes no such split.
        val: the same for ``val``.
        test: the same for ``test``.
        seed: chooses among the possible splits, 0 to 2**64 - 1.
        link: whether images are symbolic links in place of copies.
        dry_run: whether nothing is written.
        workers: threads that read; None chooses.

    Raises:
        SpecError: the sizes or the seed cannot be.
        DatasetError: a folder is missing, in use or cannot be written, or there are too few
            images.
    """
    sizes = {"train": train, "val": val, "test": test}
    asked = {name: size for name, size in sizes.items() if size is not None}
    check_sizes(asked)
    if not 0 <= seed < 2**64:
        raise SpecError(f"a seed should be 0 to 2**64 - 1, not {seed}.")
    folder = Path(os.path.abspath(output))  # noqa: PTH100 (links stay)
    given = [sources] if isinstance(sources, (str, Path)) else sources
    folders = class_folders(given)
    _check_output(folder, folders)
    classes, broken = gather(folders, workers)
    wanted = counts(asked, {name: len(found.files) for name, found in classes.items()})
    chosen = partition({name: found.files for name, found in classes.items()}, wanted, seed)
    if not dry_run:
        _write(folder, classes, chosen, link)
    return SplitReport(
        folder=folder,
        counts=wanted,
        unused={
            name: len(found.files) - sum(of_split[name] for of_split in wanted.values())
            for name, found in classes.items()
        },
        duplicates={name: len(found.duplicates) for name, found in classes.items()},
        shared=_shared(classes),
        broken=broken,
    )


def _check_output(folder: Path, classes: dict[str, Path]) -> None:
    for source in classes.values():
        if folder.resolve().is_relative_to(source.resolve()):
            raise DatasetError(f"{folder}: is inside of {source}, whose images are to be split.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DatasetError(f"{folder}: is there already; the output should be new or empty.")


def _shared(classes: dict[str, Gathered]) -> list[tuple[Path, ...]]:
    files: dict[str, list[Path]] = {}
    for found in classes.values():
        for digest, path in found.files.items():
            files.setdefault(digest, []).append(path)
    return sorted(tuple(paths) for paths in files.values() if len(paths) > 1)


def _write(
    folder: Path,
    classes: dict[str, Gathered],
    chosen: dict[str, dict[str, list[str]]],
    link: bool,
) -> None:
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        content = draft / "content"  # a folder with the usual permissions, unlike mkdtemp's
        content.mkdir()
        with (content / LISTING).open("w", encoding="utf-8", newline="") as file:
            listing = csv.writer(file, lineterminator="\n")
            listing.writerow(["image", "source"])
            for image, source in _names(classes, chosen):
                _place(source, content / image, link)
                listing.writerow([image.as_posix(), source])
        if folder.is_dir():
            folder.rmdir()  # Windows replaces no folder, be it empty
        content.replace(folder)
    except OSError as error:
        raise DatasetError(
            f"{folder}: cannot be written: {error.strerror or error}"
            f" ({error.filename or folder.parent})."
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _names(
    classes: dict[str, Gathered], chosen: dict[str, dict[str, list[str]]]
) -> list[tuple[Path, Path]]:
    """Returns the path of each image in the dataset, and the file that it is."""
    result = []
    for split_name, by_class in chosen.items():
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

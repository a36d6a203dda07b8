"""Finds the images that paths, folders and patterns stand for."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from isotune.data.folders import LeftOut, images_inside, is_hidden, listed_endings
from isotune.errors import DatasetError
from isotune.storage.paths import exists, expanded, is_dir


def find_images(names: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Returns the paths of the images that `names` stand for, in order, duplicates included.

    A folder stands for all images in it and in its subfolders, sorted. A pattern (``*``, ``?``,
    ``[...]``, and ``**`` for subfolders of any depth) stands for the files that match it, sorted,
    unless a file has exactly that name. Neither includes hidden files, nor those in hidden folders
    (:func:`isotune.data.folders.is_hidden`), unless a pattern spells their name. Any other name is
    returned unchanged. What is left out of a folder is logged in one line.

    Raises:
        DatasetError: A name is empty, a folder holds no image or cannot be read, or a pattern
            matches no file.
    """
    paths: list[Path] = []
    for name in names:
        if not os.fspath(name):  # Path takes it for the working directory
            raise DatasetError("the path of an image is empty.")
        path = Path(name)
        if is_dir(path):
            paths.extend(_inside(path))
        elif stands_for_several(path):
            paths.extend(_matches(path))
        else:
            paths.append(path)
    return paths


def stands_for_several(path: Path) -> bool:
    """Whether a path is a folder, or a pattern and not a file's name."""
    return is_dir(path) or (glob.has_magic(str(path)) and not exists(path))


def _inside(folder: Path) -> list[Path]:
    left = LeftOut()
    images = sorted(folder / name for name in images_inside(str(folder), ".", left))
    left.report(folder)
    if not images:
        raise DatasetError(f"{folder}: there is no image in it; {listed_endings()}.")
    return images


def _matches(pattern: Path) -> list[Path]:
    # Not Path.glob, whose ** at the end stands for folders only.
    names = glob.iglob(str(expanded(pattern)), recursive=True)  # noqa: PTH207
    matches = map(Path, names)
    spelled = set(expanded(pattern).parts)
    files = sorted(
        {
            path
            for path in matches
            if not path.is_dir()
            and not any(is_hidden(part) for part in path.parts if part not in spelled)
        }
    )
    if not files:
        raise DatasetError(f"{pattern}: matches no file.")
    return files

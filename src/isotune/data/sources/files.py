"""Images by path, without labels, to predict."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isotune.data.folders import LeftOut, images_inside, is_hidden, listed_endings
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource
from isotune.spec.dataset import MAX_PIXELS
from isotune.storage.paths import exists, expanded, is_dir, is_file

if TYPE_CHECKING:
    from PIL import Image


class FileSource(ImageSource):
    """Images by path; every label is 0. A missing file is an error when it is loaded.

    Args:
        paths: The files.
        classes: Class names, in label order.
        max_pixels: Largest number of pixels of an image.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        classes: tuple[str, ...],
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._paths = [Path(path) for path in paths]
        self._max_pixels = max_pixels
        self.classes = classes
        self.labels = np.zeros(len(self._paths), dtype=np.int32)

    def load(self, index: int) -> Image.Image:
        """Decodes image `index` to RGB, upright.

        Raises:
            DatasetError: It is not a file, or cannot be read.
        """
        path = self._paths[index]
        if not is_file(path):
            raise DatasetError(f"{path}: there is no such image.")
        from isotune.data.decode import open_rgb

        return open_rgb(path, self._max_pixels)

    def identify(self, index: int) -> str:
        """Returns the image's path."""
        return str(self._paths[index])


def find_images(names: Sequence[str | Path]) -> list[Path]:
    """Returns the paths of the images that `names` stand for, in order, duplicates included.

    A folder stands for all images in it and in its subfolders, sorted. A pattern (``*``, ``?``,
    ``[...]``, and ``**`` for subfolders of any depth) stands for the files that match it, sorted,
    unless a file has exactly that name. Neither includes hidden files, nor those in hidden folders
    (:func:`isotune.data.folders.is_hidden`), unless a pattern spells their name. Any other name is
    returned unchanged. What is left out of a folder is logged in one line.

    Raises:
        DatasetError: A folder holds no image or cannot be read, or a pattern matches no file.
    """
    paths: list[Path] = []
    for path in map(Path, names):
        if is_dir(path):
            paths.extend(_inside(path))
        elif glob.has_magic(str(path)) and not exists(path):
            paths.extend(_matches(path))
        else:
            paths.append(path)
    return paths


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

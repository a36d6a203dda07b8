"""Images by path, without labels, to predict."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isotune.data.sources.folder import EXTENSIONS
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource
from isotune.storage.paths import exists, expanded, is_dir, is_file

if TYPE_CHECKING:
    from PIL import Image


class FileSource(ImageSource):
    """Images by path; every label is 0. A missing file is an error when it is loaded."""

    def __init__(self, paths: Sequence[str | Path], classes: tuple[str, ...]) -> None:
        self._paths = [Path(path) for path in paths]
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

        return open_rgb(path)

    def identify(self, index: int) -> str:
        """Returns the image's path."""
        return str(self._paths[index])


def find_images(names: Sequence[str | Path]) -> list[Path]:
    """Returns the paths of the images that `names` stand for, in order, duplicates included.

    A folder stands for all images in it and in its subfolders, sorted. A pattern (``*``, ``?``,
    ``[...]``, and ``**`` for subfolders of any depth) stands for the files that match it, sorted,
    unless a file has exactly that name. Any other name is returned unchanged.

    Raises:
        DatasetError: A folder holds no image, or a pattern matches no file.
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
    images = [path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS]
    images = sorted(path for path in images if not path.is_dir())
    if not images:
        raise DatasetError(
            f"{folder}: there is no image in it; names of images end in {', '.join(EXTENSIONS)}."
        )
    return images


def _matches(pattern: Path) -> list[Path]:
    # Not Path.glob, whose ** at the end stands for folders only.
    names = glob.iglob(str(expanded(pattern)), recursive=True)  # noqa: PTH207
    matches = map(Path, names)
    files = sorted({path for path in matches if not path.is_dir()})
    if not files:
        raise DatasetError(f"{pattern}: matches no file.")
    return files

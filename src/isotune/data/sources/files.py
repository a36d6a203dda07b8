"""Images by path, without labels: what a prediction is made for."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isotune.data.decode import open_rgb
from isotune.data.sources.folder import EXTENSIONS
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource

if TYPE_CHECKING:
    from PIL import Image


class FileSource(ImageSource):
    """Some images; every label is 0. A file that is missing is told when it is loaded."""

    def __init__(self, paths: Sequence[str | Path], classes: tuple[str, ...]) -> None:
        self._paths = [Path(path) for path in paths]
        self.classes = classes
        self.labels = np.zeros(len(self._paths), dtype=np.int32)

    def load(self, index: int) -> Image.Image:
        """Decodes image `index` to RGB, upright.

        Raises:
            DatasetError: it is not a file, or cannot be read.
        """
        path = self._paths[index]
        if not _holds(path.is_file):  # nor a pipe, whose opening would wait for ever
            raise DatasetError(f"{path}: there is no such image.")
        return open_rgb(path)

    def identify(self, index: int) -> str:
        """Returns the image's path."""
        return str(self._paths[index])


def find_images(names: Sequence[str | Path]) -> list[Path]:
    """Returns the images named, in order; one that is named twice is there twice.

    A folder stands for the images in it, however deep, sorted. A pattern (``*``, ``?``,
    ``[...]``, and ``**`` for folders however deep) stands for the files it matches, sorted;
    what is there under just that name is no pattern. Any other name stays as it is.

    Raises:
        DatasetError: a folder holds no image, or a pattern matches no file.
    """
    found: list[Path] = []
    for path in map(Path, names):
        if _holds(path.is_dir):
            found.extend(_inside(path))
        elif glob.has_magic(str(path)) and not _holds(path.exists):
            found.extend(_matches(path))
        else:
            found.append(path)
    return found


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
    names = glob.iglob(str(pattern.expanduser()), recursive=True)  # noqa: PTH207
    matches = map(Path, names)
    files = sorted({path for path in matches if not path.is_dir()})
    if not files:
        raise DatasetError(f"{pattern}: matches no file.")
    return files


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except OSError:  # a name too long, or a folder that may not be read
        return False

"""Pictures by path, without labels: what a prediction is made for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isotune.data.decode import open_rgb
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource

if TYPE_CHECKING:
    from PIL import Image


class FileSource(ImageSource):
    """Some pictures; every label is 0.

    Raises:
        DatasetError: one of them is not a file.
    """

    def __init__(self, paths: Sequence[str | Path], classes: tuple[str, ...]) -> None:
        self._paths = [Path(path) for path in paths]
        self.classes = classes
        self.labels = np.zeros(len(self._paths), dtype=np.int32)
        for path in self._paths:
            if not path.is_file():
                raise DatasetError(f"{path}: there is no such picture.")

    def load(self, index: int) -> Image.Image:
        """Decodes picture `index` to RGB, upright."""
        return open_rgb(self._paths[index])

    def identify(self, index: int) -> str:
        """Returns the picture's path."""
        return str(self._paths[index])

"""Some images of a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isotune.interfaces.dataset import ImageSource

if TYPE_CHECKING:
    from PIL import Image


class Subset(ImageSource):
    """A view of the images of `source` at `indices`, in that order, with all its classes."""

    def __init__(self, source: ImageSource, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = np.asarray(indices, dtype=np.int64)
        self.always_readable = source.always_readable
        self.cheap = source.cheap
        self.classes = source.classes
        self.labels = source.labels[self._indices]

    def load(self, index: int) -> Image.Image:
        """Decodes image `index` of the subset."""
        return self._source.load(int(self._indices[index]))

    def identify(self, index: int) -> str:
        """Names image `index` of the subset."""
        return self._source.identify(int(self._indices[index]))

    def fingerprints(self) -> list[str] | None:
        """Returns what changes with the source, and which of its images these are."""
        fingerprints = self._source.fingerprints()
        return None if fingerprints is None else [*fingerprints, *map(str, self._indices.tolist())]

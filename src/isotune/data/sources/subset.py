"""Some images of a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import ImageSource, Origin

if TYPE_CHECKING:
    from PIL import Image


class Subset(ImageSource):
    """The images of `source` at `indices`, in that order, with all of its classes."""

    def __init__(self, source: ImageSource, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = np.asarray(indices, dtype=np.int64)
        self.always_readable = source.always_readable
        self.cheap = source.cheap
        self.classes = source.classes
        self.labels = source.labels[self._indices]
        self.groups = None if source.groups is None else source.groups[self._indices]
        self.group_names = source.group_names

    def load(self, index: int) -> Image.Image:
        """Decodes image `index` of the subset."""
        return self._source.load(int(self._indices[index]))

    def preview(self, index: int, side: int) -> tuple[Image.Image, tuple[int, int]]:
        """Decodes image `index` of the subset into fewer pixels."""
        return self._source.preview(int(self._indices[index]), side)

    def identify(self, index: int) -> str:
        """Returns the path, usually, of image `index` of the subset."""
        return self._source.identify(int(self._indices[index]))

    def name(self, index: int) -> str:
        """Returns the name of image `index` of the subset."""
        return self._source.name(int(self._indices[index]))

    def held_by(self, indices: NDArray[np.int64]) -> tuple[ImageSource, NDArray[np.int64]]:
        """Returns the source that holds images of the subset, and their indices there."""
        return self._source.held_by(self._indices[indices])

    def digests(self) -> NDArray[np.uint8] | None:
        """Returns the digests of the subset's images; None if the source has none."""
        digests = self._source.digests()
        return None if digests is None else digests[self._indices]

    def unchanged(self) -> bool:
        """Whether the source's images are still those of its digests."""
        return self._source.unchanged()

    def fingerprints(self) -> list[str] | None:
        """Returns the digests, or the source's own fingerprints followed by the indices."""
        if self.digests() is not None:
            return super().fingerprints()
        fingerprints = self._source.fingerprints()
        return None if fingerprints is None else [*fingerprints, *map(str, self._indices.tolist())]


class Fold(Subset):
    """The images of `source` at `indices` as a part of a cross-validation's images."""

    def __init__(self, source: ImageSource, indices: Sequence[int]) -> None:
        super().__init__(source, indices)
        self.origin = Origin(source, self._indices)

"""Finds images that must stay together: identical ones, and those of a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.stamps import DIGEST, content_digest
from isotune.data.disjoint_sets import DisjointSets
from isotune.data.folders import one_form
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource


@dataclass(frozen=True)
class Units:
    """Which images must stay together.

    Contents and units are numbered by the digests of the images, so that no number depends on file
    names or their order.

    Attributes:
        contents: Number of each image's content, equal for identical images: int64, shape (N,).
        units: Number of each image's unit: int64, shape (N,). A unit is one content or, with
            groups, the groups that share contents, directly or through other groups.
        pairs: Content and class of each different pair of the two: int64, shape (P, 2), sorted.
        classes: Number of classes.
    """

    contents: NDArray[np.int64]
    units: NDArray[np.int64]
    pairs: NDArray[np.int64]
    classes: int

    @property
    def unit_of(self) -> NDArray[np.int64]:
        """Unit of each content: int64, shape (contents,)."""
        first = np.unique(self.contents, return_index=True)[1]
        result: NDArray[np.int64] = self.units[first]
        return result

    def class_counts(self) -> NDArray[np.int64]:
        """Returns the number of different images of each class: int64, shape (classes,)."""
        return np.bincount(self.pairs[:, 1], minlength=self.classes)


def find_units(source: ImageSource, grouped: bool = False) -> Units:
    """Returns which images must stay together.

    Args:
        source: The images. One without a digest, or that cannot be read, is known by its name.
        grouped: Whether groups stay together.

    Raises:
        DatasetError: Groups should stay together, and the images have none.
    """
    contents = _contents(source)
    units = contents
    if grouped:
        if source.groups is None:
            raise DatasetError(
                "the images have no groups; those of a table do if dataset.group_column names a"
                " column. Without groups, dataset.split.by is 'label'."
            )
        units = _by_content(_joined(contents, source.groups), contents)
    if source.labels.ndim == 1:
        images, labels = np.arange(len(source)), source.labels.astype(np.int64)
    else:
        images, labels = np.nonzero(source.labels)
    pairs = np.unique(contents[images] * len(source.classes) + labels)
    return Units(
        contents,
        units,
        np.stack(np.divmod(pairs, len(source.classes)), axis=1),
        len(source.classes),
    )


def _contents(source: ImageSource) -> NDArray[np.int64]:
    """Returns the position of each image's digest among all sorted digests."""
    digests = source.digests()
    digests = np.zeros((len(source), DIGEST), np.uint8) if digests is None else digests.copy()
    for index in np.flatnonzero(~digests.any(axis=1)).tolist():
        name = one_form(source.name(index)).encode(errors="surrogatepass")
        digests[index] = np.frombuffer(content_digest(name), np.uint8)
    # NumPy compares bytes as bytes, and so as hexadecimal digits would be.
    keys = np.ascontiguousarray(digests).view(f"S{DIGEST}").ravel()
    numbers: NDArray[np.int64] = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    return numbers.reshape(-1)


def _by_content(units: NDArray[np.int64], contents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the units, numbered by the smallest content in each."""
    smallest = np.full(int(units.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(smallest, units, contents)
    result: NDArray[np.int64] = np.argsort(np.argsort(smallest))[units]
    return result


def _joined(contents: NDArray[np.int64], groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """Returns the unit of each image: groups that share a content are in the same."""
    numbers = _numbered(groups)
    sets = DisjointSets(int(numbers.max(initial=-1)) + 1)
    pairs = np.unique(np.stack([contents, numbers], axis=1), axis=0)
    shared = pairs[1:, 0] == pairs[:-1, 0]
    sets.join(pairs[:-1, 1][shared], pairs[1:, 1][shared])
    return _numbered(sets.smallest()[numbers])


def _numbered(values: NDArray[Any]) -> NDArray[np.int64]:
    """Returns the position of each value, or row, among the different ones."""
    positions: NDArray[np.int64] = np.unique(values, axis=0, return_inverse=True)[1]
    return positions.reshape(len(values))

"""The images of a source, labeled for a model that knows more classes, or the same in another
order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isotune.data.folders import one_form
from isotune.errors import DatasetError, listed, nearest
from isotune.interfaces.dataset import ImageSource, Labels, class_counts

if TYPE_CHECKING:
    from PIL import Image


class Relabeled(ImageSource):
    """The images of `source`, whose labels are positions in `classes`, which lack none of them."""

    def __init__(self, source: ImageSource, classes: tuple[str, ...]) -> None:
        positions = [_position(name, classes) for name in source.classes]
        self._source = source
        self.always_readable = source.always_readable
        self.cheap = source.cheap
        self.classes = classes
        self.labels = _relabel(source.labels, np.array(positions, np.int32), len(classes))
        self.groups, self.group_names = source.groups, source.group_names
        self.origin = source.origin

    def load(self, index: int) -> Image.Image:
        """Decodes image `index`."""
        return self._source.load(index)

    def preview(self, index: int, side: int) -> tuple[Image.Image, tuple[int, int]]:
        """Decodes image `index` into fewer pixels."""
        return self._source.preview(index, side)

    def identify(self, index: int) -> str:
        """Returns text by which a person finds image `index`."""
        return self._source.identify(index)

    def name(self, index: int) -> str:
        """Returns the name of image `index` in its split."""
        return self._source.name(index)

    def held_by(self, indices: NDArray[np.int64]) -> tuple[ImageSource, NDArray[np.int64]]:
        """Returns the source that holds images of this one, and their indices there."""
        return self._source.held_by(indices)

    def digests(self) -> NDArray[np.uint8] | None:
        """Returns the digests of the images; None if the source has none."""
        return self._source.digests()

    def unchanged(self) -> bool:
        """Whether the source's images are still those of its digests."""
        return self._source.unchanged()

    def fingerprints(self) -> list[str] | None:
        """Returns the source's fingerprints."""
        return self._source.fingerprints()


def _relabel(labels: Labels, positions: NDArray[np.int32], classes: int) -> Labels:
    """Returns `labels` for other classes, where class i has the position ``positions[i]``."""
    if labels.ndim == 1:
        return positions[labels]
    result = np.zeros((len(labels), classes), np.float32)
    result[:, positions[positions >= 0]] = labels[:, positions >= 0]
    return result


def labeled_with(
    source: ImageSource, classes: tuple[str, ...] | None, where: object
) -> ImageSource:
    """Returns a source whose labels are positions in a model's classes.

    Args:
        source: The images. A class of which it has none need not be one of the model's.
        classes: The model's classes; None keeps those of the source.
        where: Names the images in an error.

    Raises:
        DatasetError: An image has a class that the model does not know.
    """
    if classes is None or source.classes == classes:
        return source
    numbers = class_counts(source.labels, len(source.classes)).tolist()
    present = tuple(name for name, number in zip(source.classes, numbers, strict=True) if number)
    check_known_classes(str(where), present, classes)
    return Relabeled(source, classes)


def check_known_classes(where: str, present: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """Checks that a model knows all classes of a dataset.

    Args:
        where: Names the dataset in an error.
        present: The dataset's classes.
        classes: The model's classes.

    Raises:
        DatasetError: It does not know some; the message names them.
    """
    unknown = [name for name in present if _position(name, classes) < 0]
    if unknown:
        has = "has a class" if len(unknown) == 1 else "has classes"
        raise DatasetError(
            f"{where} {has} that the run was not trained on: {listed(unknown)}."
            f"{nearest(unknown[0], classes)} The run's classes are: {listed(classes)}."
        )


def _position(name: str, classes: tuple[str, ...]) -> int:
    """Returns the position of a class, or -1."""
    if name in classes:
        return classes.index(name)
    # macOS may store the same name in other code points.
    composed = [one_form(each) for each in classes]
    same = one_form(name)
    return composed.index(same) if same in composed else -1

"""Dataset: the core chooses, decodes and augments images; a backend puts them on its device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import DatasetError
from isotune.spec.dataset import DatasetSpec

if TYPE_CHECKING:
    from PIL import Image


Labels = NDArray[np.int32] | NDArray[np.float32]
"""Labels of N images: int32, shape (N,), positions in the dataset's classes; or, where an image may
have several labels, float32, shape (N, classes), 1 for the classes that it has and 0 for others. Of
a batch whose images were mixed, float32, shape (N, classes), the share of each class."""


def class_counts(labels: Labels, classes: int) -> NDArray[np.int64]:
    """Returns the number of images of each class: int64, shape (classes,).

    An image that has several labels counts for each of them.
    """
    if labels.ndim == 2:
        positives: NDArray[np.int64] = (labels > 0).sum(axis=0, dtype=np.int64)
        return positives
    return np.bincount(labels, minlength=classes)


class NoSplitError(DatasetError):
    """A dataset does not have the split that is asked for; it may have others, or none at all."""


@dataclass(frozen=True)
class Batch:
    """A batch as the core passes it to a backend.

    Attributes:
        images: uint8, shape (N, height, width, 3), RGB.
        labels: As in :class:`ImageSource`.
        placeholder: Whether it stands for an empty part of a divided batch: it has one image,
            which counts nowhere.
    """

    images: NDArray[np.uint8]
    labels: Labels
    placeholder: bool = False

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class FeatureBatch:
    """A batch of inputs of a model's head.

    Attributes:
        features: float32, shape (N, width) or (N, ...).
        labels: As in :class:`ImageSource`.
        placeholder: As in :class:`Batch`.
    """

    features: NDArray[np.float32]
    labels: Labels
    placeholder: bool = False

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DeviceBatch:
    """A batch on a device, in the backend's own tensor type.

    Attributes:
        images: float32, shape (N, 3, height, width), normalized; or unchanged features.
        labels: integers, shape (N,), or floating-point numbers, shape (N, classes).
        size: N. The core sets it to 0 for an empty part of a divided batch, whose images and
            labels are one placeholder that counts nowhere.
    """

    images: Any
    labels: Any
    size: int


@dataclass(frozen=True)
class Normalization:
    """Per-channel ``(pixel / 255 - mean) / std``, in RGB order, in units of full scale."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Origin:
    """Where the images of a fold are among those of all folds.

    Attributes:
        source: The images of all folds.
        indices: Where N of them are in `source`: int64, shape (N,).
    """

    source: ImageSource
    indices: NDArray[np.int64]


class ImageSource(ABC):
    """One split of a dataset: which images, with which labels. Implemented by the core.

    Attributes:
        classes: Class names, in label order.
        labels: int32, shape (len(self),); or float32, shape (len(self), classes), where an image
            may have several labels.
        groups: Number of each image's group, such as a patient or a camera: int32, shape
            (len(self),); None if there are none. Splits never divide a group.
        group_names: Names of the groups, by their numbers; None if a number means the same group
            in all splits of the dataset.
        origin: Where the images of a fold are among those of all folds, with which they have their
            augmentation and cached features in common; None for other images.
        always_readable: Whether no image can be broken, so that none must be decoded to check.
        cheap: Whether loading an image is so fast that caching is pointless.
    """

    always_readable: bool = False
    cheap: bool = False
    classes: tuple[str, ...]
    labels: Labels
    groups: NDArray[np.int32] | None = None
    group_names: tuple[str, ...] | None = None
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def load(self, index: int) -> Image.Image:
        """Decodes image `index` to an RGB image, upright (EXIF applied).

        Raises:
            DatasetError: the image cannot be decoded; the message names it.
        """

    def preview(self, index: int, side: int) -> tuple[Image.Image, tuple[int, int]]:
        """Decodes all of image `index`, but into fewer pixels where that is faster.

        Args:
            index: The image's index.
            side: Width and height that it still has at least, unless the image has less.

        Returns:
            The image, RGB and upright, and the width and height of all of it.

        Raises:
            DatasetError: The image cannot be decoded; the message names it.
        """
        image = self.load(index)
        return image, image.size

    @abstractmethod
    def identify(self, index: int) -> str:
        """Returns text by which a person finds image `index`, usually its path."""

    def name(self, index: int) -> str:
        """Returns the name of image `index` in its split, the same wherever the dataset lies."""
        return self.identify(index)

    def held_by(self, indices: NDArray[np.int64]) -> tuple[ImageSource, NDArray[np.int64]]:
        """Returns the source that holds the images at `indices`, and their indices there."""
        return self, indices

    def label_names(self, index: int) -> tuple[str, ...]:
        """Returns the names of the classes of image `index`: one, or any number of several."""
        if self.labels.ndim == 2:
            return tuple(self.classes[label] for label in np.flatnonzero(self.labels[index]))
        return (self.classes[self.labels[index]],)

    def digests(self) -> NDArray[np.uint8] | None:
        """Returns a digest of each image's content, by which equal images are found.

        For a format with the same fields in a spec, equal digests mean that :meth:`load` returns
        equal images.

        Returns:
            uint8, shape (len(self), 16), zeros for an image that cannot be read; or None if the
            source has none.
        """
        return None

    def unchanged(self) -> bool:
        """Whether the images are still those that :meth:`digests` was computed from."""
        return True

    def fingerprints(self) -> list[str] | None:
        """Returns text that changes with every change of the images or their order, or None.

        Cached results of the images are valid as long as it is equal; with None they never are.
        By default it is the digests, and None unless all images have one.
        """
        digests = self.digests()
        if digests is None or not digests.any(axis=1).all():
            return None
        return [digest.tobytes().hex() for digest in digests]


class DatasetFormat(DatasetSpec):
    """A dataset in one format: its fields in a spec, and how it is read.

    A format is a subclass with a field ``format: Literal["..."] = "..."``, and fields of its own.
    """

    @abstractmethod
    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens a split.

        Args:
            folder: The dataset's folder, which may be another one than `path`.
            split: The split's name.
            classes: The classes it must have, in label order; None takes those it has.

        Raises:
            NoSplitError: The dataset has no such split.
            DatasetError: The split is damaged, or classes differ.
        """

    def open_all(self, folder: Path, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens all images of a dataset that has no splits, to divide them.

        Args:
            folder: The dataset's folder or file.
            classes: The classes it must have, in label order; None takes those it has.

        Raises:
            DatasetError: The format has splits of its own, the dataset is damaged, or classes
                differ.
        """
        raise DatasetError(
            f"{folder}: a dataset in the format '{self.format}' has splits of its own; name them in"
            " dataset.splits, without dataset.split."
        )

    @classmethod
    def recognizes(cls, place: Path) -> bool:
        """Whether a file, or a folder by the names of its entries, may be in this format.

        ``isotune fit`` tries the formats that say so; nothing inside of files is read. By default
        none may: such a format has to be named.

        Args:
            place: A file or folder that is there.
        """
        return False

    def expected_entries(self) -> set[str]:
        """Returns names of which the dataset's folder has at least one, or no names.

        They tell which folder of a downloaded archive is the dataset's. Of a dataset without splits
        none are known.
        """
        if self.split is not None:
            return set()
        splits = (self.splits.train, self.splits.val)
        return {part for split in splits for part in Path(split).parts[:1]}


class DatasetAdapter(ABC):
    """A backend's half of the dataset."""

    @abstractmethod
    def feed(self, batches: Iterable[Batch], normalization: Normalization) -> Iterator[DeviceBatch]:
        """Yields `batches` on the device, normalized there, in the same order and sizes."""

    @abstractmethod
    def feed_features(self, batches: Iterable[FeatureBatch]) -> Iterator[DeviceBatch]:
        """Yields `batches` on the device, with unchanged values."""

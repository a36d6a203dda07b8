"""Format ``given``: images and labels that a program passes to ``isotune.run``."""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from isotune.errors import DatasetError, listed
from isotune.interfaces.dataset import DatasetFormat, ImageSource, NoSplitError

if TYPE_CHECKING:
    from PIL import Image

GIVE_AGAIN = "isotune.open_run(folder, train=..., val=...), or isotune.resume"


@dataclass(frozen=True, eq=False)
class GivenImages:
    """Labeled images by split, and the names of their classes.

    Attributes:
        splits: Pairs of an image and its label, in order; those to train on come first. If a split
            has as many ``targets``, as datasets of torchvision do, these are the labels, and no
            image is asked for to learn its label.
        classes: Class names, in label order; None takes those of the training images.
    """

    splits: dict[str, Sequence[Any]]
    classes: tuple[str, ...] | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Class names, in label order.

        Raises:
            DatasetError: A training label is none.
        """
        train = next(iter(self.splits))
        labels = self.labels(train)
        if isinstance(labels[0], str):
            return self.classes or tuple(sorted({str(label) for label in labels}))
        return self.numbered(train) or tuple(map(str, range(max(map(int, labels)) + 1)))

    def numbered(self, split: str) -> tuple[str, ...] | None:
        """Returns the classes that a split's numbers count, or None if nothing names them.

        A dataset's own ``classes`` count, since those of two folders may differ.

        Raises:
            DatasetError: Two of them have one name.
        """
        own = self.classes or getattr(self.splits[split], "classes", None)
        if own is None:
            return None
        names = tuple(map(str, own))
        if len(set(names)) < len(names):
            double = next(name for name in names if names.count(name) > 1)
            raise DatasetError(
                f"{split}: two of its classes have the name '{double}'; name all in classes=[...]."
            )
        return names

    def labels(self, split: str) -> Sequence[str | int]:
        """Returns the labels of a split, which is read once.

        Raises:
            DatasetError: An item is no pair, or its label is none; or there is no item.
        """
        if split not in self._labels:
            self._labels[split] = _labels(self.splits[split], split)
        return self._labels[split]

    @cached_property
    def _labels(self) -> dict[str, Sequence[str | int]]:
        return {}


class GivenDataset(DatasetFormat):
    """Images that a program has passed to ``isotune.run``. A spec cannot name them, only say so.

    Attributes:
        path: Not used.
    """

    in_memory: ClassVar[bool] = True

    format: Literal["given"] = "given"
    path: str = "given"
    _images: GivenImages | None = PrivateAttr(None)

    def with_images(self, images: GivenImages) -> GivenDataset:
        """Returns a copy that has these images."""
        copy = self.model_copy()
        copy._images = images
        return copy

    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens a split."""
        if folder != Path():  # the caller's, in place of the given images
            return self._files(folder).open(folder, split, classes)
        given = self._given()
        if split not in given.splits:
            raise NoSplitError(
                f"dataset: no split '{split}' was given in code, only"
                f" {' and '.join(map(repr, given.splits))}."
            )
        return GivenSource(given, split, classes or given.names, self.max_pixels)

    def open_all(self, folder: Path, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens the training images, to divide them."""
        if folder != Path():
            return self._files(folder).open_all(folder, classes)
        if self.splits.val in self._given().splits:
            raise DatasetError(
                "dataset.split: divides the training images, but val was given in code, too; leave"
                " one of them out."
            )
        return self.open(folder, self.splits.train, classes)

    def _files(self, folder: Path) -> DatasetFormat:
        from isotune.data.sources.folder import FolderDataset

        return FolderDataset(path=str(folder), max_pixels=self.max_pixels)

    def _given(self) -> GivenImages:
        if self._images is None:
            raise DatasetError(
                "dataset: its images were given in code, and are not in the run folder; give them"
                f" again, as in {GIVE_AGAIN}."
            )
        return self._images


class GivenSource(ImageSource):
    """Images that were given in code.

    Args:
        given: The images of all splits.
        split: The split's name.
        classes: Class names, in label order.
        max_pixels: Largest number of pixels of an image.

    Raises:
        DatasetError: An item is no pair, or its label is no class.
    """

    def __init__(
        self, given: GivenImages, split: str, classes: tuple[str, ...], max_pixels: int
    ) -> None:
        from isotune.data.inputs import InputDecoder

        self._items, self._split = given.splits[split], split
        self._decoder, self._lock = InputDecoder(max_pixels), Lock()
        self.classes = classes
        places = {name: place for place, name in enumerate(classes)}
        labels = given.labels(split)
        names = isinstance(labels[0], str)
        numbered = () if names else given.numbered(split) or given.names
        self.labels = np.array(
            [
                _place(f"{split}[{index}]", label, numbered, places)
                for index, label in enumerate(labels)
            ],
            np.int32,
        )

    def load(self, index: int) -> Image.Image:
        """Decodes image `index` to RGB, upright.

        Raises:
            DatasetError: It is no image, or it cannot be read.
        """
        return self._decoder.decode(self._image(index), self.identify(index))

    def identify(self, index: int) -> str:
        """Returns the image's position among those given, as ``train[3]``."""
        return f"{self._split}[{index}]"

    def name(self, index: int) -> str:
        """Returns the image's position in its split."""
        return str(index)

    def digests(self) -> NDArray[np.uint8]:
        """Returns digests: of a file's bytes, or of an image's size and pixels."""
        return self._digests

    @cached_property
    def _digests(self) -> NDArray[np.uint8]:
        found = np.zeros((len(self), 16), np.uint8)
        for index in range(len(self)):
            try:
                found[index] = np.frombuffer(self._digest(index), np.uint8)[:16]
            except (DatasetError, OSError):
                continue  # whoever checks the images says what is wrong with this one
        return found

    def _digest(self, index: int) -> bytes:
        image = self._image(index)
        if isinstance(image, (str, os.PathLike)):
            return hashlib.sha256(b"file" + Path(image).read_bytes()).digest()
        if isinstance(image, (bytes, bytearray, memoryview)):
            return hashlib.sha256(b"file" + bytes(image)).digest()
        pixels = self.load(index)
        return hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).digest()

    def _image(self, index: int) -> Any:
        if isinstance(self._items, (list, tuple)):
            return self._items[index][0]
        with self._lock:  # which of other people's datasets are safe in threads, nobody knows
            return self._items[index][0]


def _labels(items: Sequence[Any], split: str) -> Sequence[str | int]:
    """Returns the labels of a split: names of classes, or numbers."""
    labels: list[Any] = []
    for index, label in enumerate(_given_labels(items, split)):
        labels.append(_label(label, f"{split}[{index}]"))
        if isinstance(labels[0], str) != isinstance(labels[-1], str):
            raise DatasetError(
                f"{split}[{index}]: its label is {labels[-1]!r}, but that of {split}[0] is"
                f" {labels[0]!r}: labels should be either names of classes or numbers."
            )
    if not labels:
        raise DatasetError(f"{split}: has no image.")
    return labels


def _given_labels(items: Sequence[Any], split: str) -> Iterator[Any]:
    targets = getattr(items, "targets", None)
    changed = getattr(items, "target_transform", None) is not None
    if targets is not None and len(targets) == len(items) and not changed:
        yield from targets
        return
    for index in range(len(items)):
        item = items[index]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise DatasetError(
                f"{split}[{index}]: is of type {type(item).__name__}, but should be a pair of an"
                " image and its label."
            )
        yield item[1]


def _label(label: Any, name: str) -> str | int:
    if isinstance(label, str):
        return str(label)
    try:
        return operator.index(label)
    except TypeError:
        raise DatasetError(
            f"{name}: its label is of type {type(label).__name__}, but should be the name of a"
            " class, or its number."
        ) from None


def _place(
    name: str, label: str | int, numbered: tuple[str, ...], places: Mapping[str, int]
) -> int:
    """Returns the position of a label's class."""
    if isinstance(label, int):
        if not 0 <= label < len(numbered):
            raise DatasetError(
                f"{name}: its label is {label}, but the {len(numbered)} classes have the numbers"
                " from 0."
            )
        label = numbered[label]
    if label in places:
        return places[label]
    raise DatasetError(
        f"{name}: its label is {label!r}, but the classes are {listed(list(places))}."
    )

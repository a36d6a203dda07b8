"""Format ``given``: images and labels that a program passes to ``isotune.run``."""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from isotune.errors import DatasetError
from isotune.interfaces.dataset import DatasetFormat, ImageSource, NoSplitError

if TYPE_CHECKING:
    from PIL import Image

GIVE_AGAIN = "isotune.resume(folder, train=..., val=...)"


@dataclass(frozen=True)
class GivenImages:
    """Labeled images by split, and the names of their classes.

    Attributes:
        splits: Pairs of an image and its label, in order.
        classes: Class names, in label order; None takes those of the training images.
    """

    splits: dict[str, Sequence[Any]]
    classes: tuple[str, ...] | None = None


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
        given = self._given()
        if split not in given.splits:
            raise NoSplitError(
                f"dataset: no split '{split}' was given in code, only"
                f" {' and '.join(map(repr, given.splits))}."
            )
        known = classes or given.classes
        return GivenSource(given.splits[split], split, known, self.max_pixels)

    def open_all(self, folder: Path, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens the training images, to divide them."""
        if self.splits.val in self._given().splits:
            raise DatasetError(
                "dataset.split: divides the training images, but val was given in code, too; leave"
                " one of them out."
            )
        return self.open(folder, self.splits.train, classes)

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
        items: Pairs of an image and its label. If it has as many ``targets``, as datasets of
            torchvision do, these are the labels, and no image is asked for to learn its label.
        split: The split's name, for messages.
        classes: Class names, in label order; None takes ``items.classes``, the labels themselves
            or, of numbers, the numbers.
        max_pixels: Largest number of pixels of an image.

    Raises:
        DatasetError: An item is no pair, or its label is no class.
    """

    def __init__(
        self, items: Sequence[Any], split: str, classes: tuple[str, ...] | None, max_pixels: int
    ) -> None:
        from isotune.data.inputs import InputDecoder

        self._items, self._split = items, split
        self._decoder, self._lock = InputDecoder(max_pixels), Lock()
        labels = [self._label(index, label) for index, label in self._given_labels()]
        if not labels:
            raise DatasetError(f"{split}: has no image.")
        self.classes = classes or _classes(items, labels)
        self.labels = np.array(
            [self._position(index, label) for index, label in enumerate(labels)], np.int32
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

    def _given_labels(self) -> Iterable[tuple[int, Any]]:
        targets = getattr(self._items, "targets", None)
        if targets is not None and len(targets) == len(self._items):
            yield from enumerate(targets)
            return
        for index in range(len(self._items)):
            item = self._items[index]
            if not isinstance(item, (tuple, list)) or len(item) != 2:
                raise DatasetError(
                    f"{self.identify(index)}: is of type {type(item).__name__}, but should be a"
                    " pair of an image and its label."
                )
            yield index, item[1]

    def _label(self, index: int, label: Any) -> str | int:
        if isinstance(label, str):
            return str(label)
        try:
            return operator.index(label)
        except TypeError:
            raise DatasetError(
                f"{self.identify(index)}: its label is of type {type(label).__name__}, but should"
                " be the name of a class, or its number."
            ) from None

    def _position(self, index: int, label: str | int) -> int:
        """Returns the position of a label's class."""
        if isinstance(label, int):
            if 0 <= label < len(self.classes):
                return label
            known = f"the {len(self.classes)} classes have the numbers from 0"
        else:
            if label in self._places:
                return self._places[label]
            known = f"the classes are {', '.join(map(repr, self.classes[:20]))}"
        raise DatasetError(f"{self.identify(index)}: its label is {label!r}, but {known}.")

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.classes)}


def _classes(items: Sequence[Any], labels: Sequence[str | int]) -> tuple[str, ...]:
    """Returns the classes of images that were given without their names."""
    numbers = [label for label in labels if isinstance(label, int)]
    if len(numbers) < len(labels):
        return tuple(sorted({str(label) for label in labels if isinstance(label, str)}))
    named = getattr(items, "classes", None)
    if named is not None and len(named) > max(numbers):
        return tuple(map(str, named))
    return tuple(map(str, range(max(numbers) + 1)))

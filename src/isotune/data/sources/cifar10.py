"""Format ``cifar10``: CIFAR-10's binary version.

Its description is https://www.cs.toronto.edu/~kriz/cifar.html.
The archive is https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz; TensorFlow Datasets
(``url_checksums/cifar10.txt``) publishes its SHA-256:
c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.stamps import DIGEST, Digests, content_digest
from isotune.errors import DatasetError
from isotune.interfaces.dataset import DatasetFormat, ImageSource
from isotune.storage.paths import exists, is_dir

if TYPE_CHECKING:
    from PIL import Image

FOLDER = "cifar-10-batches-bin"
"""The archive's only folder."""

META = "batches.meta.txt"
SIDE = 32
RECORD = 1 + 3 * SIDE * SIDE
"""Bytes per image: its label, then its red, green and blue plane, row by row."""

CLASSES = 10

_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST = ("test_batch.bin",)
SPLITS = {"train": _TRAIN, "test": _TEST, "val": _TEST}
"""Files of each split. CIFAR-10 has no validation split, so ``val`` means the test split."""


class Cifar10Dataset(DatasetFormat):
    """The files of CIFAR-10's binary version.

    Attributes:
        path: The folder with the files, or the one that contains ``cifar-10-batches-bin``; as
            for other formats absolute, relative to the spec's file or the working directory, or
            under ``$ISOTUNE_HOME/datasets``.
        splits: ``train`` and ``test``; ``val`` means ``test``.
    """

    format: Literal["cifar10"] = "cifar10"

    @classmethod
    def recognizes(cls, place: Path) -> bool:
        """Whether it is the folder with the files, or the one that contains it."""
        return exists(place / META) or exists(place / FOLDER / META)

    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens a split."""
        return Cifar10Source(folder, split, classes)


class Cifar10Source(ImageSource):
    """A split of CIFAR-10. Files are mapped into memory and may hold any number of records.

    Args:
        root: The folder with the files, or the one that contains ``cifar-10-batches-bin``.
        split: ``train``, ``test``, or ``val``, which means ``test``.
        classes: The classes it must have, in label order; None takes those of its
            ``batches.meta.txt``.

    Raises:
        DatasetError: A file is missing or damaged, there is no such split, or classes differ.
    """

    always_readable = True
    cheap = True

    def __init__(
        self, root: str | Path, split: str, classes: tuple[str, ...] | None = None
    ) -> None:
        folder = _folder(Path(root))
        if split not in SPLITS:
            raise DatasetError(
                f"{folder}: has no split '{split}'; those of CIFAR-10 are 'train'"
                " (data_batch_1.bin to data_batch_5.bin) and 'test' (test_batch.bin), which 'val'"
                " names too."
            )
        names = _class_names(folder / META)
        self._paths = [folder / name for name in SPLITS[split]]
        self._records = [_records(path) for path in self._paths]
        self._digests: Digests | None = None
        self._ends = np.cumsum([len(records) for records in self._records])
        labels = np.concatenate([records[:, 0] for records in self._records]).astype(np.int32)
        self.classes = names if classes is None else classes
        self.labels = _positions(folder, names, self.classes)[labels]

    def load(self, index: int) -> Image.Image:
        """Returns image `index`, 32 pixels wide and high."""
        from PIL import Image

        file, row = self._place(index)
        planes = self._records[file][row, 1:].reshape(3, SIDE, SIDE)
        return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))

    def identify(self, index: int) -> str:
        """Returns the file of image `index` and its position in it, from 0."""
        file, row = self._place(index)
        return f"{self._paths[file]}[{row}]"

    def name(self, index: int) -> str:
        """Returns the name of the file of image `index`, and its position in it, from 0."""
        file, row = self._place(index)
        return f"{self._paths[file].name}[{row}]"

    def digests(self) -> Digests:
        """Returns digests of the images' pixels."""
        if self._digests is None:
            pixels = (record[1:].data for records in self._records for record in records)
            digests = b"".join(map(content_digest, pixels))
            self._digests = np.frombuffer(digests, np.uint8).reshape(len(self), DIGEST)
        return self._digests

    def _place(self, index: int) -> tuple[int, int]:
        file = int(np.searchsorted(self._ends, index, side="right"))
        return file, index - int(self._ends[file - 1] if file else 0)


def _folder(root: Path) -> Path:
    if not is_dir(root):
        raise DatasetError(f"{root}: there is no such dataset folder.")
    inside = root / FOLDER
    return inside if inside.is_dir() and not (root / META).exists() else root


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(path.read_text("utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path}: cannot be read as the ten class names of CIFAR-10, one a line: {_why(error)}."
        ) from error
    if len(names) != CLASSES or len(set(names)) != CLASSES:
        raise DatasetError(
            f"{path}: should be the ten class names of CIFAR-10, one a line, but holds"
            f" {len(set(names))} different words in {len(names)}."
        )
    return names


def _records(path: Path) -> NDArray[np.uint8]:
    """Maps a file: uint8, shape (records, :data:`RECORD`)."""
    try:
        size = path.stat().st_size
        if size == 0 or size % RECORD:
            raise DatasetError(
                f"{path}: is {size} bytes long, which is no multiple of the {RECORD} that a"
                " CIFAR-10 image takes; it is damaged or incomplete."
            )
        records = np.memmap(path, np.uint8, "r", shape=(size // RECORD, RECORD))
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read as a part of CIFAR-10: {_why(error)}."
        ) from error
    wrong = np.flatnonzero(records[:, 0] >= CLASSES)
    if len(wrong):
        raise DatasetError(
            f"{path}: its record {wrong[0]} has label {records[wrong[0], 0]}, but those of CIFAR-10"
            " are 0 to 9; it is damaged, or CIFAR-100."
        )
    return records


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _positions(folder: Path, names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int32]:
    """Returns where each of the dataset's classes is in `classes`: int32, shape (10,)."""
    if set(names) != set(classes):
        raise DatasetError(
            f"{folder}: its classes should be those of training ({', '.join(sorted(classes))}),"
            f" but {META} names {', '.join(sorted(names))}."
        )
    return np.array([classes.index(name) for name in names], dtype=np.int32)

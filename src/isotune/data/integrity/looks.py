"""Looks at every image once: its size, its range of levels, and a thumbnail to compare it by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isotune.data.caches.looks import load_looks, save_looks
from isotune.data.decode import reason
from isotune.data.workers import in_threads
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource
from isotune.interfaces.versions import versions

THUMBNAIL = 16
"""Width and height of a thumbnail."""

SIDE = 64
"""Width and height from which thumbnails are made: JPEG decoders get there in a fraction of the
time, and of four times as many pixels each of a thumbnail's is a mean."""

OUTLIERS = 0.005
"""Fraction of the darkest and of the brightest pixels that do not count for the range."""

LOOK = np.dtype(
    [
        ("width", "<i4"),
        ("height", "<i4"),
        ("range", "u1"),
        ("thumbnail", "u1", (THUMBNAIL, THUMBNAIL)),
    ]
)
"""What is kept of an image: width and height in pixels; the range of levels, largest of the three
channels, without :data:`OUTLIERS`; luminance (ITU-R BT.601) of its thumbnail."""

VERSION = 1
"""Version of what this module makes of an image."""


@dataclass(frozen=True)
class Looks:
    """What N images look like.

    Attributes:
        records: Of type :data:`LOOK`, shape (N,); zeros where an image cannot be read.
        problems: Why each image cannot be read, ``""`` if it can.
    """

    records: NDArray[Any]
    problems: list[str]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Whether each image can be read: bool, shape (N,)."""
        return np.array([not problem for problem in self.problems], np.bool_)


def look(source: ImageSource, place: str, workers: int | None = None) -> Looks:
    """Looks at all images of `source`, each of which is decoded once.

    What an image looks like is cached by its digest under ``$ISOTUNE_HOME/cache/looks``.

    Args:
        source: The images.
        place: Names the source, whose images have a cache file of their own.
        workers: Number of decoding threads; None chooses.

    Raises:
        DatasetError: There is not enough memory for an image.
    """
    records = np.zeros(len(source), LOOK)
    problems = [""] * len(source)
    digests = source.digests()
    version = f"{VERSION} {sorted(versions().items())}"
    known = np.zeros(len(source), np.bool_)
    if digests is not None:
        known = load_looks(place, version, digests, records)
    unknown = np.flatnonzero(~known).tolist()
    for index, found in zip(
        unknown, in_threads(lambda i: _look_at(source, i), unknown, workers), strict=True
    ):
        if isinstance(found, str):
            problems[index] = found
        else:
            records[index] = found
    if digests is not None and unknown:
        readable = np.array([not problem for problem in problems], np.bool_)
        save_looks(place, version, digests[readable], records[readable])
    return Looks(records, problems)


def _look_at(source: ImageSource, index: int) -> NDArray[Any] | str:
    """Returns what an image looks like: of type :data:`LOOK`, shape (); or why it has no looks."""
    try:
        image, size = source.preview(index, SIDE)
        return describe(image, size)
    except Exception as error:  # a plugin's source may raise errors of any type
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            name = source.identify(index)
            raise DatasetError(f"{name}: there is not enough memory for it.") from error
        return reason(error.__cause__ if isinstance(error.__cause__, Exception) else error)


def describe(image: Image.Image, size: tuple[int, int]) -> NDArray[Any]:
    """Returns what an RGB image looks like: of type :data:`LOOK`, shape ().

    Args:
        image: The image, perhaps of fewer pixels than it has.
        size: Its width and height.
    """
    record = np.zeros((), LOOK)
    record["width"], record["height"] = size
    record["range"] = _range(image)
    box = Image.Resampling.BOX  # the mean of the pixels; others depend on what JPEG decoders skip
    small = image.resize((THUMBNAIL, THUMBNAIL), box).convert("L")
    record["thumbnail"] = np.asarray(small)
    return record


def _range(image: Image.Image) -> int:
    counts = np.array(image.histogram(), np.int64).reshape(3, 256).cumsum(axis=1)
    total = counts[:, -1:]
    lowest = (counts > OUTLIERS * total).argmax(axis=1)
    highest = (counts >= (1 - OUTLIERS) * total).argmax(axis=1)
    return int((highest - lowest).max())

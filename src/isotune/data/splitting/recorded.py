"""Finds the images of a split that a run has recorded, whatever else the dataset has by now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isotune.data.folders import one_form
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource


@dataclass(frozen=True)
class RecordedSplit:
    """The images of a split in the order of training.

    Attributes:
        names: Their names in the dataset.
        digests: Digests of their contents, as hexadecimal digits; empty where there is none.
    """

    names: Sequence[str]
    digests: Sequence[str]


def portable_name(source: ImageSource, index: int, folder: Path) -> str:
    """Returns the name of image `index`, the same wherever `folder`, its dataset, lies."""
    return one_form(source.name(index).removeprefix(f"{folder}{os.sep}"))


def find_recorded(source: ImageSource, folder: Path, split: RecordedSplit) -> NDArray[np.int64]:
    """Returns the positions of a split's images, -1 for one that is gone or has changed.

    Args:
        source: All images of the dataset.
        folder: The dataset's folder.
        split: The images as they were.

    Returns:
        int64, shape (len(split.names),).
    """
    places = {portable_name(source, index, folder): index for index in range(len(source))}
    digests = source.digests()
    result = np.full(len(split.names), -1, np.int64)
    for number, (name, before) in enumerate(zip(split.names, split.digests, strict=True)):
        index = places.get(name, -1)
        now = "" if index < 0 or digests is None else digests[index].tobytes().hex()
        if not (before and now) or before == now:
            result[number] = index
    return result


def check_complete(
    place: object, name: str, split: RecordedSplit, found: NDArray[np.int64]
) -> None:
    """Checks that all images of a split were found.

    Raises:
        DatasetError: Some were not; the message counts them and names the first.
    """
    lost = np.flatnonzero(found < 0)
    if not len(lost):
        return
    first = split.names[int(lost[0])]
    what = f"{len(lost)} of the {len(found)} images"
    raise DatasetError(
        f"{place}: {what} that the run lists as its split '{name}' are gone or have another"
        f" content, the first {first}. Put back what was there, or start a new run."
    )

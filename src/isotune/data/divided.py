"""Opens the splits of a dataset that has none, and that a spec divides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isotune.data.integrity.check import BrokenImage, clean
from isotune.data.sources.folder import check_several_classes
from isotune.data.sources.subset import Subset
from isotune.data.splitting.divide import divide, sides
from isotune.data.splitting.recorded import RecordedSplit, check_complete, find_recorded
from isotune.errors import DatasetError
from isotune.interfaces.dataset import DatasetFormat, ImageSource
from isotune.spec.split import SplitSpec

Recorded = Mapping[str, RecordedSplit]
"""The splits of a run."""


@dataclass(frozen=True)
class Divided:
    """A divided dataset.

    Attributes:
        splits: The images of each split that can be read.
        broken: Images of the dataset that cannot be read, in no split.
    """

    splits: Mapping[str, ImageSource]
    broken: list[BrokenImage]


def open_divided(
    dataset: DatasetFormat,
    split: SplitSpec,
    folder: Path,
    workers: int | None = None,
    recorded: Recorded | None = None,
) -> Divided:
    """Opens, checks and divides a dataset.

    Args:
        dataset: The dataset of a loaded spec.
        split: How to divide it.
        folder: Its folder.
        workers: Number of reading threads; None chooses.
        recorded: Splits of a run, which are found again; other images are ignored.

    Raises:
        DatasetError: The dataset is missing or damaged, images are broken and the spec does not
            say to skip them, there are too few images, or a recorded one is gone or has changed.
    """
    source = dataset.open_all(folder)
    if recorded is None:
        check_several_classes(source)
        readable, broken = clean(source, dataset.broken, workers)
        return Divided(divide(readable, split), broken)
    splits: dict[str, ImageSource] = {}
    broken = []
    for name, images in recorded.items():
        found = find_recorded(source, folder, images)
        check_complete(folder, name, images, found)
        splits[name], lost = clean(source, dataset.broken, workers, found)
        broken.extend(lost)
    return Divided(splits, broken)


def open_without_test(
    dataset: DatasetFormat, split: SplitSpec, folder: Path, workers: int | None = None
) -> tuple[ImageSource, list[BrokenImage]]:
    """Opens the images to train and to validate on as one, in the dataset's order.

    Arguments and errors are those of :func:`open_divided`.

    Returns:
        The images, and those of the dataset that cannot be read.
    """
    source, broken = clean(dataset.open_all(folder), dataset.broken, workers)
    parts = sides(source, split)
    return Subset(source, np.flatnonzero(parts["train"] | parts["val"]).tolist()), broken


def check_split_name(split: SplitSpec, name: str, recorded: Recorded | None = None) -> None:
    """Checks that a divided dataset, or the run that divided it, has a split.

    Raises:
        DatasetError: It has not; the message names those it has.
    """
    names = split.sizes if recorded is None else recorded
    if name not in names:
        whose = "dataset.split makes" if recorded is None else "the splits of this run are"
        *others, last = names or ["none"]
        listed = f"{', '.join(others)} and {last}" if others else last
        raise DatasetError(f"there is no split '{name}': {whose} {listed}.")

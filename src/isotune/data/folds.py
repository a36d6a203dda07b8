"""Opens the images of one fold of a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isotune.data.divided import open_without_test
from isotune.data.integrity.check import BrokenImage, clean
from isotune.data.sources.joined import Joined
from isotune.data.sources.subset import Fold
from isotune.data.splitting.folds import fold_numbers
from isotune.interfaces.dataset import DatasetFormat, ImageSource, NoSplitError
from isotune.spec.fold import FoldSpec


@dataclass(frozen=True)
class FoldImages:
    """The images of a fold.

    Attributes:
        train: Images of all other folds.
        val: Images of the fold.
        broken: Unreadable images, which are in no fold, by what their split is for: ``train`` or
            ``val``.
    """

    train: Fold
    val: Fold
    broken: Mapping[str, list[BrokenImage]]


def open_fold(
    dataset: DatasetFormat,
    fold: FoldSpec,
    folder: Path,
    classes: tuple[str, ...] | None = None,
    workers: int | None = None,
) -> FoldImages:
    """Opens and checks the images of all folds, and divides them.

    They are those of the splits to train and to validate on, one after the other, or of the one of
    them that there is; or all images of a dataset without splits, except those that the spec keeps
    for a test.

    Args:
        dataset: The dataset of a loaded spec.
        fold: Which fold.
        folder: The dataset's folder.
        classes: The classes it must have, in label order; None takes those it has.
        workers: Number of reading threads; None chooses.

    Raises:
        DatasetError: Images are missing or broken and may not be, classes differ, or a class has
            too few images or groups for so many folds.
    """
    whole: ImageSource
    broken: dict[str, list[BrokenImage]] = {"train": [], "val": []}
    if dataset.split is not None:
        whole, broken["train"] = open_without_test(dataset, dataset.split, folder, workers)
    else:
        sources = _splits(dataset, folder, classes)
        for name, source in sources.items():
            use = "train" if name == dataset.splits.train else "val"
            sources[name], broken[use] = clean(source, dataset.broken, workers)
        whole = Joined(sources) if len(sources) > 1 else next(iter(sources.values()))
    inside = fold_numbers(whole, fold) == fold.number
    train, val = (Fold(whole, np.flatnonzero(chosen).tolist()) for chosen in (~inside, inside))
    return FoldImages(train, val, broken)


def _splits(
    dataset: DatasetFormat, folder: Path, classes: tuple[str, ...] | None
) -> dict[str, ImageSource]:
    """Returns the splits that there are by their names; all images count as those to train on."""
    found: dict[str, ImageSource] = {}
    for name in dict.fromkeys((dataset.splits.train, dataset.splits.val)):
        try:
            found[name] = dataset.open(folder, name, classes)
        except NoSplitError:
            continue
        classes = found[name].classes
    return found or {dataset.splits.train: dataset.open_all(folder, classes)}

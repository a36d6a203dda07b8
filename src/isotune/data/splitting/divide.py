"""Divides images that have no splits as a spec says."""

from __future__ import annotations

import logging
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from isotune.data.folders import one_form
from isotune.data.sources.subset import Subset
from isotune.data.splitting.grouped import distribute
from isotune.data.splitting.partition import check_enough, counts, partition, shares
from isotune.data.splitting.units import Units, find_units
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource
from isotune.spec.split import SplitSpec

log = logging.getLogger(__name__)

UNUSED = "unused"
"""Stands for the images in no split."""


def divide(source: ImageSource, split: SplitSpec) -> dict[str, Subset]:
    """Returns the splits of a dataset, each in the dataset's order.

    Identical images are in the same split, whatever their classes. Images with one label that are
    not divided by group are divided as ``isotune split`` does; others by
    :func:`isotune.data.splitting.grouped.distribute`.

    Args:
        source: All images.
        split: How to divide them.

    Raises:
        DatasetError: There are too few images of a class, or too few groups; images should be
            divided by groups and have none; or so many images are in several classes that the
            splits cannot be kept apart.
    """
    chosen = sides(source, split)
    return {name: Subset(source, np.flatnonzero(mine).tolist()) for name, mine in chosen.items()}


def sides(source: ImageSource, split: SplitSpec) -> dict[str, NDArray[np.bool_]]:
    """Returns whether each image is in each split: bool, shape (N,); raises as :func:`divide`."""
    units = find_units(source, split.grouped)
    if source.labels.ndim == 1 and not split.grouped:
        return _by_label(source, units, split)
    return _by_unit(source, units, split)


def _by_label(source: ImageSource, units: Units, split: SplitSpec) -> dict[str, NDArray[np.bool_]]:
    """Returns whether each image is in each split: bool, shape (N,)."""
    # The name decides which images of a class are chosen, and macOS may write it in another form.
    classes = {
        one_form(source.classes[label]): units.pairs[units.pairs[:, 1] == label, 0].tolist()
        for label in np.flatnonzero(units.class_counts()).tolist()
    }
    sizes = counts(split.sizes, {name: len(images) for name, images in classes.items()})
    assigned = partition(classes, sizes, split.seed)
    return {
        name: np.isin(units.contents, [image for mine in by_class.values() for image in mine])
        for name, by_class in assigned.items()
    }


def _by_unit(source: ImageSource, units: Units, split: SplitSpec) -> dict[str, NDArray[np.bool_]]:
    """Returns whether each image is in each split: bool, shape (N,)."""
    chosen = distribute(units, _targets(source, units, split), split.seed)
    result = {name: np.isin(units.units, chosen[name]) for name in split.sizes}
    _check(source, units, result, "groups" if split.grouped else "images")
    return result


def _targets(source: ImageSource, units: Units, split: SplitSpec) -> dict[str, list[float]]:
    """Returns the wanted number of images of each class, and last of all, by split."""
    totals = units.class_counts().tolist()
    names = {name: total for name, total in zip(source.classes, totals, strict=True) if total}
    check_enough(split.sizes, names)
    number = int(units.contents.max(initial=-1)) + 1
    columns = [shares(split.sizes, total) if total else {} for total in totals]
    result = {name: [column.get(name, Fraction(0)) for column in columns] for name in split.sizes}
    # Counts are of each class, and images may have several or none.
    scale = Fraction(number, max(sum(totals), 1))
    of_all = shares(split.sizes, number) if isinstance(split.val, float) else {}
    for name, numbers in result.items():
        numbers.append(of_all.get(name, scale * sum(numbers)))
    unused = [
        total - sum(parts)
        for total, *parts in zip((*totals, number), *result.values(), strict=True)
    ]
    if any(unused):
        result[UNUSED] = unused
    return {name: [float(each) for each in numbers] for name, numbers in result.items()}


def _check(
    source: ImageSource, units: Units, chosen: dict[str, NDArray[np.bool_]], things: str
) -> None:
    """Refuses splits without images, or without a class to train on."""
    present = units.class_counts() > 0
    for split, mine in chosen.items():
        if not mine.any():
            raise DatasetError(
                f"there are too few {things} to divide: none is left for {split}; there are"
                f" {len(np.unique(units.units))}, and {len(chosen)} splits."
            )
        labels = source.labels[mine]
        occur = np.bincount(labels, minlength=units.classes) if labels.ndim == 1 else labels.sum(0)
        lacking = [f"'{source.classes[label]}'" for label in np.flatnonzero(present & (occur == 0))]
        if not lacking:
            continue
        found = f"there are too few {things} with {_listed(lacking)}: none is in {split}"
        if split == "train":
            raise DatasetError(f"{found}, which needs each class.")
        log.warning("%s.", found)


def _listed(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if names[most:] else "")

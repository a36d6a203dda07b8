"""Assigns images to folds, stratified by class, as a function of their contents and a seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from isotune.data.splitting.units import find_units
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource, Labels
from isotune.randomness import Purpose, named_stream
from isotune.spec.fold import FoldSpec

_ONE = 1 << 40
"""Weight of a class with one image; that of others is smaller by their number of images."""


def fold_numbers(source: ImageSource, spec: FoldSpec) -> NDArray[np.int32]:
    """Returns the fold of each image, from 1: int32, shape (len(source),).

    Identical images are in one fold, and with ``by: group`` so are those of a group. The result
    does not depend on the order of images, nor on the names of those that have digests.

    Where every image is alone, folds differ by at most one image in all and, if each image has one
    class, in each class. Otherwise the largest units come first, and each goes to the fold that has
    the smallest share of its classes, as in scikit-learn's ``StratifiedGroupKFold``; images of
    several classes begin with the rarest class, as in Sechidis et al., "On the Stratification of
    Multi-Label Data", 2011.

    Raises:
        DatasetError: A class has fewer different images, or groups, than there are folds; or there
            are no groups.
    """
    units = find_units(source, spec.grouped).units
    members = _Members(units, source.labels, len(source.classes))
    _check_enough(members, source.classes, spec)
    # Units are numbered by their contents, so the numbers that they draw depend on nothing else.
    random = named_stream(spec.seed, Purpose.FOLDS, spec.by).bit_generator
    words = np.asarray(random.random_raw(len(members.sizes)), np.uint64)
    return _assigned(members, members.order(words), spec.folds)[units]


class _Members:
    """How many images of each class each unit has.

    Args:
        units: Number of each image's unit.
        labels: As in :class:`ImageSource`.
        classes: Number of classes.
    """

    def __init__(self, units: NDArray[np.int64], labels: Labels, classes: int) -> None:
        if labels.ndim == 1:
            owners, named = units, labels.astype(np.int64)
        else:
            images, named = np.nonzero(labels)
            owners = units[images]
        self.sizes = np.bincount(units)
        pairs, counts = np.unique(owners * classes + named, return_counts=True)
        self.classes, self.counts = pairs % classes, counts
        self.starts = np.searchsorted(pairs, np.arange(len(self.sizes) + 1) * classes)
        self.images_of = np.bincount(named, minlength=classes)
        self.units_of = np.bincount(self.classes, minlength=classes)

    def order(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Returns the units, the largest first, then those of the rarest class, then by `words`."""
        rarity = np.argsort(np.argsort(self.images_of, kind="stable"), kind="stable")
        rarest = np.full(len(self.sizes), len(rarity))
        owners = np.repeat(np.arange(len(self.sizes)), np.diff(self.starts))
        np.minimum.at(rarest, owners, rarity[self.classes])
        order: NDArray[np.int64] = np.lexsort((words, rarest, -self.sizes))
        return order


def _check_enough(members: _Members, classes: Sequence[str], spec: FoldSpec) -> None:
    thing = "different images" if spec.by == "label" else "groups of different images"
    few = [
        f"class '{classes[label]}' has {count}"
        for label, count in enumerate(members.units_of.tolist())
        if count < spec.folds
    ]
    if few or len(members.sizes) < spec.folds:
        what = "; ".join(few) or f"there are {len(members.sizes)}"
        raise DatasetError(f"{spec.folds} folds need as many {thing} of each class: {what}.")


def _assigned(members: _Members, order: NDArray[np.int64], folds: int) -> NDArray[np.int32]:
    """Returns the fold of each unit, from 1; units choose in `order`."""
    # Integers, since sums of floats may be rounded differently on another machine.
    weights = [_ONE // max(count, 1) for count in members.images_of.tolist()]
    shares = [[0] * len(weights) for _ in range(folds)]
    images = [0] * folds
    classes, counts = members.classes.tolist(), members.counts.tolist()
    bounds, sizes = list(pairwise(members.starts.tolist())), members.sizes.tolist()
    result = np.zeros(len(sizes), np.int32)
    for unit in order.tolist():
        start, end = bounds[unit]
        parts = list(zip(classes[start:end], counts[start:end], strict=True))
        costs = [sum(share[label] * count for label, count in parts) for share in shares]
        fold = min(range(folds), key=lambda each: (costs[each], images[each]))
        result[unit] = fold + 1
        images[fold] += sizes[unit]
        for label, count in parts:
            shares[fold][label] += count * weights[label]
    return result

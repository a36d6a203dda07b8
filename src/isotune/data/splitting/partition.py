"""Assigns images to splits, stratified by class and disjoint, as a function of the seed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Union

import numpy as np

from isotune.errors import DatasetError, SpecError
from isotune.randomness import Purpose, named_stream

Size = Union[int, float]
"""Number of images of each class in a split: a count (int) or a fraction (float) of the class."""

Counts = dict[str, dict[str, int]]
"""Numbers of images by split and class."""


def check_sizes(sizes: Mapping[str, Size]) -> None:
    """Refuses invalid sizes of splits.

    Raises:
        SpecError: there is no size, one is not positive, counts and fractions are mixed, or the
            fractions sum to more than 1.
    """
    shown = ", ".join(f"{split} {size}" for split, size in sizes.items())
    if not sizes:
        raise SpecError("a split needs a size: train 1000 images a class, or a fraction of 0.8.")
    if any(not 0 < size < math.inf for size in sizes.values()):
        raise SpecError(f"sizes of splits should be above 0, not {shown}.")
    kinds = {isinstance(size, float) for size in sizes.values()}
    if len(kinds) > 1:
        raise SpecError(f"sizes of splits should all be counts or all be fractions, not {shown}.")
    if kinds == {True} and sum(map(_exact, sizes.values())) > 1:
        raise SpecError(f"fractions of splits should sum to at most 1, not {shown}.")


def _exact(size: Size) -> Fraction:
    return Fraction(repr(size))  # exactly 0.1, not the double nearest to it


def counts(sizes: Mapping[str, Size], available: Mapping[str, int]) -> Counts:
    """Returns the number of images of each class in each split.

    Fractions are rounded so that each is off by less than an image, and fractions that sum to 1
    use every image.

    Args:
        sizes: checked sizes by split.
        available: number of distinct images by class.

    Raises:
        DatasetError: a class has too few images.
    """
    result: Counts = {split: {} for split in sizes}
    complaints = []
    for name, total in available.items():
        edge, ends = Fraction(0), [0]
        for size in map(_exact, sizes.values()):
            edge += size if _are_counts(sizes) else size * total
            ends.append(int(edge + Fraction(1, 2)))
        for split, start, end in zip(sizes, ends, ends[1:], strict=False):
            result[split][name] = end - start
            if start == end:
                complaints.append(f"{sizes[split]} of the {total} of '{name}' is none for {split}")
        if ends[-1] > total:
            complaints.append(f"class '{name}' has {total}, and {ends[-1]} are requested")
    if complaints:
        raise DatasetError(f"there are too few different readable images: {'; '.join(complaints)}.")
    return result


def _are_counts(sizes: Mapping[str, Size]) -> bool:
    return all(isinstance(size, int) for size in sizes.values())


def partition(
    images: Mapping[str, Collection[str]], sizes: Counts, seed: int
) -> dict[str, dict[str, list[str]]]:
    """Assigns images to splits at random, as a function of the seed.

    An image of several classes goes to the same split in all of them. The result does not depend
    on the order of images or classes.

    Args:
        images: the hash of each image's content, by class.
        sizes: number of images by split and class.
        seed: 0 to 2**64 - 1.

    Returns:
        Hashes by split and class, in random order.

    Raises:
        DatasetError: too many images belong to several classes to keep the splits apart.
    """
    owners: dict[str, list[str]] = {}
    for name in sorted(images):
        for image in images[name]:
            owners.setdefault(image, []).append(name)
    assigned = _assign_shared(owners, sizes, seed)
    for name in sorted(images):
        own = _shuffled([i for i in images[name] if len(owners[i]) == 1], seed, f"class/{name}")
        for split in sizes:
            missing = sizes[split][name] - len(assigned[split][name])
            if missing > len(own):
                raise DatasetError(
                    f"so many images of class '{name}' are in another class, too, that the"
                    " splits cannot be kept apart; remove them from one."
                )
            taken, own = own[:missing], own[missing:]
            assigned[split][name] = _shuffled(
                assigned[split][name] + taken, seed, f"split/{split}/{name}"
            )
    return assigned


def _assign_shared(
    owners: Mapping[str, Sequence[str]], sizes: Counts, seed: int
) -> dict[str, dict[str, list[str]]]:
    """Assigns images of several classes to the first split that has room in all of them."""
    assigned: dict[str, dict[str, list[str]]] = {
        split: {name: [] for name in by_class} for split, by_class in sizes.items()
    }
    shared = [image for image, names in owners.items() if len(names) > 1]
    for image in _shuffled(shared, seed, "shared"):
        for split, by_class in sizes.items():
            if all(len(assigned[split][name]) < by_class[name] for name in owners[image]):
                for name in owners[image]:
                    assigned[split][name].append(image)
                break
    return assigned


def _shuffled(images: Collection[str], seed: int, name: str) -> list[str]:
    """Returns `images` in an order that depends only on the images, the seed and a name."""
    ordered = sorted(images)
    keys = named_stream(seed, Purpose.SPLIT, name).bit_generator.random_raw(len(ordered))
    return [ordered[index] for index in np.argsort(keys, kind="stable")]

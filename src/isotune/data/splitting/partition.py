"""Assigns images to splits, stratified by class and disjoint, as a function of the seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

import numpy as np

from isotune.errors import DatasetError
from isotune.randomness import Purpose, named_stream
from isotune.spec.split import Size, exact

Counts = dict[str, dict[str, int]]
"""Numbers of images by split and class."""

Content = TypeVar("Content", str, int)
"""What identifies an image's content. Its order decides, whatever its values are."""


def shares(sizes: Mapping[str, Size | None], total: int) -> dict[str, Fraction]:
    """Returns how many of a class's `total` images each split should have.

    The rest is negative if the other splits ask for more images than there are.

    Args:
        sizes: checked sizes by split; None stands for the rest, in one split at most.
        total: number of distinct images.
    """
    known = {
        split: exact(size) * (total if isinstance(size, float) else 1)
        for split, size in sizes.items()
        if size is not None
    }
    rest = total - sum(known.values(), Fraction(0))
    return {split: known.get(split, rest) for split in sizes}


def check_enough(sizes: Mapping[str, Size | None], available: Mapping[str, int]) -> None:
    """Refuses sizes for which a class has too few images.

    Args:
        sizes: checked sizes by split; None stands for the rest.
        available: number of distinct images by class.

    Raises:
        DatasetError: a class has too few images.
    """
    complaints = []
    for name, total in available.items():
        requested = sum(share for share in shares(sizes, total).values() if share > 0)
        if requested > total:
            complaints.append(f"class '{name}' has {total}, and {requested} are requested")
    _raise(complaints)


def counts(sizes: Mapping[str, Size | None], available: Mapping[str, int]) -> Counts:
    """Returns the number of images of each class in each split.

    Fractions are rounded so that each is off by less than an image, and fractions that sum to 1
    use every image.

    Args:
        sizes: checked sizes by split; None stands for the rest, in one split at most.
        available: number of distinct images by class.

    Raises:
        DatasetError: a class has too few images.
    """
    check_enough(sizes, available)
    result: Counts = {split: {} for split in sizes}
    complaints = []
    for name, total in available.items():
        edge, ends = Fraction(0), [0]
        for share in shares(sizes, total).values():
            edge += share
            ends.append(int(edge + Fraction(1, 2)))
        for split, start, end in zip(sizes, ends, ends[1:], strict=False):
            result[split][name] = end - start
            if start == end:
                size = "the rest" if sizes[split] is None else sizes[split]
                complaints.append(f"{size} of the {total} of '{name}' is none for {split}")
    _raise(complaints)
    return result


def _raise(complaints: Sequence[str]) -> None:
    if complaints:
        raise DatasetError(f"there are too few different readable images: {'; '.join(complaints)}.")


def partition(
    images: Mapping[str, Collection[Content]], sizes: Counts, seed: int
) -> dict[str, dict[str, list[Content]]]:
    """Assigns images to splits at random, as a function of the seed.

    An image of several classes goes to the same split in all of them. The result does not depend
    on the order of images or classes.

    Args:
        images: the hash of each image's content, or its position among the sorted hashes, by class.
        sizes: number of images by split and class.
        seed: 0 to 2**64 - 1.

    Returns:
        Contents by split and class, in random order.

    Raises:
        DatasetError: too many images belong to several classes to keep the splits apart.
    """
    owners: dict[Content, list[str]] = {}
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
    owners: Mapping[Content, Sequence[str]], sizes: Counts, seed: int
) -> dict[str, dict[str, list[Content]]]:
    """Assigns images of several classes to the first split that has room in all of them."""
    assigned: dict[str, dict[str, list[Content]]] = {
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


def _shuffled(images: Collection[Content], seed: int, name: str) -> list[Content]:
    """Returns `images` in an order that depends only on the images, the seed and a name."""
    ordered = sorted(images)
    keys = named_stream(seed, Purpose.SPLIT, name).bit_generator.random_raw(len(ordered))
    return [ordered[index] for index in np.argsort(keys, kind="stable")]

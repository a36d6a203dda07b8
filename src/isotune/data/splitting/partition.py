"""Divides images among splits: each class by itself, no image in two, by seed alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Union

import numpy as np

from isotune.errors import DatasetError, SpecError
from isotune.randomness import Purpose, named_stream

Size = Union[int, float]
"""Images of each class that a split gets: a count, or a fraction (a float) of those there are."""

Counts = dict[str, dict[str, int]]
"""Images by split and class."""


def check_sizes(sizes: Mapping[str, Size]) -> None:
    """Refuses sizes that cannot be.

    Raises:
        SpecError: there is none, one is not positive, they are neither all counts nor all
            fractions, or the fractions make more than 1.
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
        raise SpecError(f"fractions of splits should make 1 at most, not {shown}.")


def _exact(size: Size) -> Fraction:
    return Fraction(repr(size))  # 0.1 is meant, not the double beside it


def counts(sizes: Mapping[str, Size], available: Mapping[str, int]) -> Counts:
    """Returns how many images of each class each split gets.

    Fractions are rounded so that those that make 1 leave no image over, and none is off by a
    whole image.

    Args:
        sizes: checked sizes by split.
        available: different images by class.

    Raises:
        DatasetError: there are too few of a class.
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
            complaints.append(f"class '{name}' has {total}, and {ends[-1]} are asked for")
    if complaints:
        raise DatasetError(f"there are too few different readable images: {'; '.join(complaints)}.")
    return result


def _are_counts(sizes: Mapping[str, Size]) -> bool:
    return all(isinstance(size, int) for size in sizes.values())


def partition(
    images: Mapping[str, Collection[str]], wanted: Counts, seed: int
) -> dict[str, dict[str, list[str]]]:
    """Chooses images for each split, at random but for the seed.

    What is in several classes goes to one split in all of them. Nothing depends on any order
    in which images or classes are given.

    Args:
        images: what identifies each image (its content's hash), by class.
        wanted: how many are chosen, by split and class.
        seed: 0 to 2**64 - 1.

    Returns:
        The chosen ones by split and class, in random order.

    Raises:
        DatasetError: so many are in several classes that the numbers cannot be kept.
    """
    owners: dict[str, list[str]] = {}
    for name in sorted(images):
        for image in images[name]:
            owners.setdefault(image, []).append(name)
    chosen = _place_shared(owners, wanted, seed)
    for name in sorted(images):
        own = _shuffled([p for p in images[name] if len(owners[p]) == 1], seed, f"class/{name}")
        for split in wanted:
            missing = wanted[split][name] - len(chosen[split][name])
            if missing > len(own):
                raise DatasetError(
                    f"so many images of class '{name}' are in another class, too, that the"
                    " splits cannot be kept apart; remove them from one."
                )
            taken, own = own[:missing], own[missing:]
            chosen[split][name] = _shuffled(
                chosen[split][name] + taken, seed, f"split/{split}/{name}"
            )
    return chosen


def _place_shared(
    owners: Mapping[str, Sequence[str]], wanted: Counts, seed: int
) -> dict[str, dict[str, list[str]]]:
    """Puts what is in several classes into the first split that has room in all of them."""
    chosen: dict[str, dict[str, list[str]]] = {
        split: {name: [] for name in by_class} for split, by_class in wanted.items()
    }
    shared = [image for image, names in owners.items() if len(names) > 1]
    for image in _shuffled(shared, seed, "shared"):
        for split, by_class in wanted.items():
            if all(len(chosen[split][name]) < by_class[name] for name in owners[image]):
                for name in owners[image]:
                    chosen[split][name].append(image)
                break
    return chosen


def _shuffled(images: Collection[str], seed: int, name: str) -> list[str]:
    """Returns `images` in an order that depends on nothing but them, the seed and a name."""
    known = sorted(images)
    words = named_stream(seed, Purpose.SPLIT, name).bit_generator.random_raw(len(known))
    return [known[index] for index in np.argsort(words, kind="stable")]

"""Divides images that must stay together, stratified as nearly as possible.

The problem is that of scikit-learn's ``StratifiedGroupKFold`` and, where images have several
labels, of Sechidis et al., "On the Stratification of Multi-Label Data" (2011): no division has
exactly the wanted numbers, and finding the best one takes too long. Like both, this is greedy: one
unit after the other goes to the split that lacks its classes the most. What is lacking is measured
by Pearson's chi-squared statistic, the sum of ``(present - wanted)**2 / wanted`` over splits and
classes, which also suits splits of different sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from isotune.data.splitting.units import Units
from isotune.randomness import Purpose, named_stream

SMALLEST = 1e-3
"""Wanted number of images that stands for none: a unit is put there only for want of others."""

Targets = Mapping[str, Sequence[float]]
"""Wanted number of images by split: of each class, and last of all images."""


def distribute(units: Units, targets: Targets, seed: int) -> dict[str, NDArray[np.int64]]:
    """Assigns each unit to a split, as a function of the seed.

    Large units come first, since small ones can even out what they leave, and of units of about
    the same size those with a rare class, as Sechidis et al. do; their order is random otherwise.
    A split takes a unit only while it has room for half of it at least, so that it has more or
    fewer images than wanted by the size of the largest unit at most, if there are up to three
    splits.

    Args:
        units: What must stay together.
        targets: Wanted numbers, which sum to those of all images.
        seed: 0 to 2**64 - 1.

    Returns:
        The units of each split, sorted.
    """
    members = _members(units)
    wanted = [[max(number, SMALLEST) for number in numbers] for numbers in targets.values()]
    present = [[0.0] * len(numbers) for numbers in wanted]
    chosen: list[list[int]] = [[] for _ in wanted]
    for unit in _order(members, units.class_counts(), seed):
        split = _best(members[unit], wanted, present)
        chosen[split].append(unit)
        for label, count in members[unit]:
            present[split][label] += count
    return {
        name: np.array(sorted(mine), np.int64) for name, mine in zip(targets, chosen, strict=True)
    }


Member = list[tuple[int, int]]
"""Classes of a unit, each with its number of different images; last all of them."""


def _members(units: Units) -> list[Member]:
    unit_of, classes = units.unit_of, units.classes
    sizes = np.bincount(unit_of)
    # The number of images counts like that of one more class.
    keys = unit_of[units.pairs[:, 0]] * (classes + 1) + units.pairs[:, 1]
    found, numbers = np.unique(keys, return_counts=True)
    members: list[Member] = [[] for _ in sizes]
    for key, number in zip(found.tolist(), numbers.tolist(), strict=True):
        members[key // (classes + 1)].append((key % (classes + 1), number))
    for member, size in zip(members, sizes.tolist(), strict=True):
        member.append((classes, size))
    return members


def _order(members: Sequence[Member], totals: NDArray[np.int64], seed: int) -> list[int]:
    """Returns the order in which units are assigned."""
    words = named_stream(seed, Purpose.SPLIT, "units").bit_generator.random_raw(len(members))
    magnitudes = [member[-1][1].bit_length() for member in members]
    common = int(totals.sum()) + 1
    rarest = [min((int(totals[c]) for c, _ in member[:-1]), default=common) for member in members]
    order: list[int] = np.lexsort([words, np.array(rarest), -np.array(magnitudes)]).tolist()
    return order


def _best(
    member: Member, wanted: Sequence[Sequence[float]], present: Sequence[Sequence[float]]
) -> int:
    """Returns the split that has room for a unit and whose statistic grows the least by it."""
    size = member[-1][1]
    room = [target[-1] - numbers[-1] for target, numbers in zip(wanted, present, strict=True)]
    needed = min(size / 2, max(room))
    costs = [
        sum(
            count * (2 * (numbers[label] - target[label]) + count) / target[label]
            for label, count in member
        )
        for target, numbers in zip(wanted, present, strict=True)
    ]
    return min(
        (split for split in range(len(room)) if room[split] >= needed), key=costs.__getitem__
    )

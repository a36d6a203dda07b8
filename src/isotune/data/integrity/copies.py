"""Finds the same image twice: byte for byte, or by its looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.data.integrity.findings import (
    ExaminedSplit,
    Finding,
    Kind,
    Offender,
    image_finding,
)
from isotune.data.integrity.near_duplicates import comparable, near_duplicates

Policy = Literal["warn", "error", "ignore"]
Place = tuple[int, int]
"""An image: the position of its split, and its own in it."""


def copies(splits: Sequence[ExaminedSplit], policy: Policy) -> list[Finding]:
    """Returns duplicates and near duplicates within and across splits, classes and groups.

    A group of equal images that belongs to several findings is in all of them; those within one
    split, class and group of images have a finding of their own.

    Args:
        splits: The splits; a run trains on the first and validates on the second.
        policy: The spec's ``dataset.duplicates``: whether a run stops because of equal images in
            its two splits, and whether images in several splits are found at all.
    """
    equal = _equal(splits)
    return [
        *_findings(splits, equal, near=False, policy=policy),
        *_findings(splits, _alike(splits, equal), near=True, policy=policy),
    ]


def _equal(splits: Sequence[ExaminedSplit]) -> list[list[Place]]:
    """Returns groups of readable images with equal digests."""
    places: list[NDArray[np.int64]] = []
    digests: list[NDArray[np.uint8]] = []
    for number, each in enumerate(splits):
        known = each.source.digests()
        if known is not None:
            indices = np.flatnonzero(each.looks.readable)
            places.append(_places(number, indices))
            digests.append(known[indices])
    if not digests:
        return []
    content = np.ascontiguousarray(np.concatenate(digests)).view([("", "u8"), ("", "u8")])[:, 0]
    _, inverse, counts = np.unique(content, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts[inverse] > 1)
    groups: dict[int, list[Place]] = {}
    for value, place in zip(inverse[repeated], np.concatenate(places)[repeated], strict=True):
        groups.setdefault(int(value), []).append((int(place[0]), int(place[1])))
    return list(groups.values())


def _alike(splits: Sequence[ExaminedSplit], equal: list[list[Place]]) -> list[list[Place]]:
    """Returns groups of near duplicates, with one image for each group of equal ones."""
    places: list[NDArray[np.int64]] = []
    thumbnails: list[NDArray[Any]] = []
    for number, each in enumerate(splits):
        records = each.looks.records
        chosen = comparable(records["thumbnail"], records["width"], records["height"])
        chosen[[index for group in equal for split, index in group[1:] if split == number]] = False
        indices = np.flatnonzero(chosen)
        places.append(_places(number, indices))
        thumbnails.append(records["thumbnail"][indices])
    found = np.concatenate(places)
    groups = near_duplicates(np.concatenate(thumbnails))
    return [[(int(a), int(b)) for a, b in found[list(group)]] for group in groups]


def _places(split: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns places: int64, shape (M, 2)."""
    return np.stack([np.full_like(indices, split), indices], axis=1)


@dataclass(frozen=True)
class _Aspect:
    """Something that is wrong with copies, whether exact or near ones.

    Attributes:
        exact: The finding for images with the same bytes.
        near: The finding for images that look alike.
        where: Where the copies are, for a title.
        advice: What would deal with them.
    """

    exact: Kind
    near: Kind
    where: str
    advice: str


_SPLITS = _Aspect(
    "duplicates-across-splits",
    "near-duplicates-across-splits",
    "in several splits, so that validation flatters the model",
    "keep them in one split, or accept them with dataset.duplicates: ignore",
)
_CLASSES = _Aspect(
    "duplicates-across-classes",
    "near-duplicates-across-classes",
    "with different labels, at least one of which is likely wrong",
    "correct the labels, or delete the images",
)
_GROUPS = _Aspect(
    "duplicates-across-groups",
    "near-duplicates-across-groups",
    "in several groups, so that a split by group may divide them",
    "give them the same group",
)
_WITHIN = _Aspect(
    "duplicates",
    "near-duplicates",
    "within a class, so that they count several times",
    "delete all except one, if they are not augmented on purpose",
)


def _aspects(splits: Sequence[ExaminedSplit], group: Sequence[Place]) -> list[_Aspect]:
    """Returns what is wrong with a group of copies."""
    aspects = []
    if len({number for number, _ in group}) > 1:
        aspects.append(_SPLITS)
    if len({splits[number].source.label_names(index) for number, index in group}) > 1:
        aspects.append(_CLASSES)
    groups = {(number, _group(splits[number], index)) for number, index in group}
    if len(groups) > len({number for number, _ in group}):
        aspects.append(_GROUPS)
    return aspects or [_WITHIN]


def _group(split: ExaminedSplit, index: int) -> int:
    groups = split.source.groups
    return 0 if groups is None else int(groups[index])


def _findings(
    splits: Sequence[ExaminedSplit], groups: Sequence[Sequence[Place]], near: bool, policy: Policy
) -> list[Finding]:
    by_aspect: dict[_Aspect, list[Sequence[Place]]] = {
        aspect: [] for aspect in (_SPLITS, _CLASSES, _GROUPS, _WITHIN)
    }
    for group in groups:
        for aspect in _aspects(splits, group):
            by_aspect[aspect].append(group)
    if policy == "ignore":
        del by_aspect[_SPLITS]
    found = []
    for aspect, members in by_aspect.items():
        stops = aspect is _SPLITS and not near and policy == "error"
        shared = any({0, 1} <= {number for number, _ in group} for group in members)
        found += image_finding(
            aspect.near if near else aspect.exact,
            [
                Offender(images=tuple(splits[number].reference(index) for number, index in group))
                for group in members
            ],
            f"images that {'look like' if near else 'equal'} another, {aspect.where}",
            aspect.advice,
            "error" if stops and shared else "warning",
        )
    return found

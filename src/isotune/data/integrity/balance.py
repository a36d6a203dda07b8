"""Counts images by class, and finds classes with too few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isotune.data.integrity.findings import ExaminedSplit, Finding, Offender
from isotune.interfaces.dataset import class_counts

RATIO = 10.0
"""How many times more training images the largest class has than the smallest, from which training
is likely to neglect the latter."""

FEW = 5
"""Number of training images below which a class can hardly be learned."""


def missing_classes(classes: Sequence[str], counts: Mapping[str, Sequence[int]]) -> list[Finding]:
    """Returns which classes lack images in a split.

    Args:
        classes: All classes.
        counts: Number of images of each class, in their order, by split.
    """
    offenders = [
        Offender(f"no image in '{split}'", classes=(name,))
        for split, numbers in counts.items()
        for name, number in zip(classes, numbers, strict=True)
        if not number
    ]
    if not offenders:
        return []
    return [
        Finding(
            "missing-class",
            "warning",
            "classes without images in a split",
            "add images of the class to the split, or divide the images anew with isotune split",
            len({each.classes for each in offenders}),
            tuple(offenders),
        )
    ]


def unbalanced_classes(train: ExaminedSplit) -> list[Finding]:
    """Returns which classes have few training images, absolutely or beside others."""
    names = train.source.classes
    numbers = class_counts(train.source.labels, len(names)).tolist()
    counts = dict(zip(names, numbers, strict=True))
    present = {name: count for name, count in counts.items() if count}
    return [*_few(train, present), *_imbalance(train, present)]


def _few(train: ExaminedSplit, counts: Mapping[str, int]) -> list[Finding]:
    few = [name for name, count in counts.items() if count < FEW]
    if not few:
        return []
    title = f"classes with fewer than {FEW} images in '{train.name}'"
    advice = "collect more images of them, or leave the classes out"
    return [Finding("few-images", "warning", title, advice, len(few), _counted(few, counts))]


def _imbalance(train: ExaminedSplit, counts: Mapping[str, int]) -> list[Finding]:
    largest = max(counts, key=lambda name: counts[name], default="")
    small = [name for name in counts if counts[name] * RATIO <= counts[largest]]
    if not small:
        return []
    title = (
        f"classes with at most a tenth of the {counts[largest]:,} images of '{largest}' in"
        f" '{train.name}'"
    )
    advice = "set loss.class_weights: balanced, or sampler: balanced"
    return [Finding("imbalance", "warning", title, advice, len(small), _counted(small, counts))]


def _counted(names: Sequence[str], counts: Mapping[str, int]) -> tuple[Offender, ...]:
    ordered = sorted(names, key=lambda name: counts[name])
    return tuple(
        Offender("1 image" if counts[name] == 1 else f"{counts[name]:,} images", classes=(name,))
        for name in ordered
    )

"""Findings about images that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from isotune.data.integrity.findings import ExaminedSplit, Finding, Offender, image_finding
from isotune.interfaces.dataset import class_counts


def unreadable_images(
    splits: Sequence[ExaminedSplit], policy: Literal["error", "skip"]
) -> list[Finding]:
    """Returns which images cannot be read, and which classes have no other ones.

    Args:
        splits: The splits.
        policy: The spec's ``dataset.broken``: whether they stop a run.
    """
    offenders = [
        offender
        for each in splits
        for indices in [np.flatnonzero(~each.looks.readable).tolist()]
        for offender in each.offenders(indices, [each.looks.problems[i] for i in indices])
    ]
    found = image_finding(
        "unreadable",
        offenders,
        "images that cannot be read",
        "repair or delete them, or leave them out with dataset.broken: skip",
        "error" if policy == "error" else "warning",
    )
    without = tuple(offender for each in splits for offender in _unreadable_classes(each))
    if without:
        title = "classes without an image that can be read"
        advice = "repair the images, or leave the classes out"
        found.append(Finding("unreadable-class", "error", title, advice, len(without), without))
    return found


def _unreadable_classes(split: ExaminedSplit) -> list[Offender]:
    names, labels = split.source.classes, split.source.labels
    counts = class_counts(labels, len(names))
    left = class_counts(labels[split.looks.readable], len(names))
    lost = np.flatnonzero((counts > 0) & (left == 0))
    return [Offender(f"in '{split.name}'", classes=(names[label],)) for label in lost]

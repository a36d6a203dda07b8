"""Looks at the images of a dataset: how many, how balanced, of which sizes and shapes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isotune.data.workers import in_threads
from isotune.errors import DatasetError, listed
from isotune.fitting.recognize import Found
from isotune.interfaces.dataset import ImageSource, class_counts

MOST = 2000
"""Number of training images that are looked at, evenly spaced, if there are more: a share among
them is off by two percent at most, with 95% confidence."""

DECODED = 16
"""Number of images that are decoded whole, to measure how long that takes."""

SIDE = 64
"""Width and height down to which JPEG decoders may reduce an image that is looked at."""

LONG = 2.0
"""Longer side, relative to the shorter one, from which a crop shows half an image at most."""

VAL = 0.2
FEW_VAL = 0.5
"""Shares of images to validate on where a dataset has no splits; the second one where a class has
so few images that the first would leave it none."""


@dataclass(frozen=True)
class Data:
    """What is known of a dataset.

    Attributes:
        fields: The spec's ``dataset``.
        reasons: What is to be said about each of them, by name.
        classes: Class names, in label order.
        counts: Number of training images of each class, before any are put aside to validate on.
        train: Number of training images.
        val: Number of validation images.
        multi_label: Whether an image may have several labels.
        looked: Number of images that were looked at.
        unreadable: Number of them that cannot be read.
        side: Median of the images' sides (the geometric mean of width and height), in pixels.
        long: Share of images that are at least :data:`LONG` times as long as wide, or as wide as
            long, in [0, 1].
        decoding: Seconds that decoding an image takes, with all threads.
    """

    fields: Mapping[str, Any]
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    train: int
    val: int
    multi_label: bool
    looked: int
    unreadable: int
    side: float
    long: float
    decoding: float = 0.0
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def imbalance(self) -> float:
        """How many times more training images the largest class has than the smallest."""
        return max(self.counts) / max(min(self.counts), 1)


def look_at(found: Found, clock: Callable[[], float] = time.perf_counter) -> Data:
    """Looks at a dataset that was recognized.

    Raises:
        DatasetError: There are too few images to train and to validate on, or none can be read.
    """
    source = found.train
    counts = class_counts(source.labels, len(source.classes))
    fields, reasons = dict(found.fields), dict(found.reasons)
    train, val = len(source), 0
    if found.val is None:
        if "split" not in fields:
            fields["split"], reasons["split"] = _split(source, counts.min().item())
        size = fields["split"]["val"]
        share = size if isinstance(size, float) else size * len(counts) / len(source)
        val = max(round(len(source) * share), 1)
        train = max(train - val, 1)
    else:
        val = len(found.val)
    sizes, unreadable, decoding = _sizes(source, clock)
    if unreadable and "broken" not in fields:
        fields["broken"] = "skip"
        reasons["broken"] = (
            f"{unreadable} of {len(sizes) + unreadable} images looked at cannot be read; the log"
            " names those that are left out"
        )
    shorter, longer = sizes.min(axis=1), sizes.max(axis=1)
    return Data(
        fields=fields,
        reasons=reasons,
        classes=source.classes,
        counts=tuple(counts.tolist()),
        train=train,
        val=val,
        multi_label=source.labels.ndim == 2,
        looked=len(sizes) + unreadable,
        unreadable=unreadable,
        side=float(np.median(np.sqrt(sizes.prod(axis=1)))),
        long=float((longer >= LONG * shorter).mean()),
        decoding=decoding,
    )


def _split(source: ImageSource, fewest: int) -> tuple[dict[str, Any], str]:
    """Returns how a dataset without splits is divided, and why.

    Raises:
        DatasetError: A class has too few images.
    """
    if fewest < 2:
        counts = class_counts(source.labels, len(source.classes)).tolist()
        few = [name for name, count in zip(source.classes, counts, strict=True) if count < 2]
        raise DatasetError(
            f"a class needs an image to train on and one to validate on, but {listed(few)}"
            f" {'has' if len(few) == 1 else 'have'} fewer than two; add images, or leave the"
            f" {'class' if len(few) == 1 else 'classes'} out."
        )
    size, reason = VAL, "there are no validation images: a fifth of each class is put aside"
    if fewest * VAL < 1:
        size = FEW_VAL
        reason = (
            f"there are no validation images: half of each class is put aside, as one has only"
            f" {fewest}"
        )
    if source.groups is None:
        return {"val": size}, reason
    groups = len(np.unique(source.groups))
    if groups < 2:
        return {"val": size}, f"{reason}; all images are of the same group"
    return {"val": size, "by": "group"}, f"{reason}, and none of the {groups} groups is divided"


def _sizes(source: ImageSource, clock: Callable[[], float]) -> tuple[Any, int, float]:
    """Returns (width, height) of images, the number of unreadable ones, and seconds of decoding."""
    indices = np.unique(np.linspace(0, len(source) - 1, min(len(source), MOST)).round())
    chosen = indices.astype(int).tolist()

    def size(index: int) -> tuple[int, int] | None:
        try:
            return source.preview(index, SIDE)[1]
        except DatasetError:
            return None

    found = list(in_threads(size, chosen, None))
    sizes = np.array([each for each in found if each is not None], np.float64).reshape(-1, 2)
    if not len(sizes):
        raise DatasetError(
            f"none of the {len(chosen)} images looked at can be read, such as"
            f" {source.identify(chosen[0])}."
        )
    readable = [i for i, each in zip(chosen, found, strict=True) if each is not None]
    some = readable[:: max(len(readable) // DECODED, 1)][:DECODED]
    begin = clock()
    for _ in in_threads(lambda index: source.load(index).size, some, None):
        pass
    return sizes, len(chosen) - len(readable), (clock() - begin) / len(some)

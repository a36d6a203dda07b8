"""Finds images that are in both splits of an experiment, whatever their names."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource
from isotune.spec.dataset import Splits

log = logging.getLogger(__name__)


def check_duplicates(
    train: ImageSource,
    val: ImageSource,
    splits: Splits,
    policy: Literal["warn", "error", "ignore"],
) -> None:
    """Says in one line if images have the same content in both splits.

    Images are equal if their digests are, so a source without digests has no duplicates.

    Args:
        train: The training images.
        val: The validation images.
        splits: Names of the splits.
        policy: Whether to log the line, raise it, or not look.

    Raises:
        DatasetError: The policy is ``error`` and there are such images.
    """
    pairs = [] if policy == "ignore" else _equal_images(train, val)
    if not pairs:
        return
    first, second = pairs[0]
    images = "1 image is" if len(pairs) == 1 else f"{len(pairs)} images are"
    differ = sum(bool(np.any(train.labels[a] != val.labels[b])) for a, b in pairs)
    other = f", {differ} of them in another class" if differ else ""
    found = (
        f"{images} in both '{splits.train}' and '{splits.val}'{other}:"
        f" {splits.train}/{train.name(first)} = {splits.val}/{val.name(second)}"
    )
    if policy == "error":
        raise DatasetError(
            f"{found}; remove them from one of the splits, or set dataset.duplicates to 'warn'."
        )
    log.warning("%s; the model may know them by heart, so validation flatters it.", found)


def _equal_images(train: ImageSource, val: ImageSource) -> list[tuple[int, int]]:
    """Returns the index of each validation image that has an equal, and that of the first one."""
    known, sought = train.digests(), val.digests()
    if known is None or sought is None:
        return []
    first, indices = np.unique(_one_each(known), return_index=True)
    wanted = _one_each(sought)
    places = np.searchsorted(first, wanted).clip(max=len(first) - 1)
    # A digest of zeros stands for an image that cannot be read.
    equal = np.flatnonzero((first[places] == wanted) & sought.any(axis=1))
    return list(zip(indices[places[equal]].tolist(), equal.tolist(), strict=True))


def _one_each(digests: NDArray[np.uint8]) -> NDArray[np.void]:
    """Returns digests, uint8 of shape (N, bytes), as N values that can be compared."""
    return np.ascontiguousarray(digests).view(f"V{digests.shape[1]}").reshape(-1)

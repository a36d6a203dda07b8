"""Gradient accumulation: several batches make one update, as one larger batch would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Part:
    """What one training batch is to the update that it contributes to.

    Attributes:
        first: position in the epoch, from 0, of the first batch that contributes.
        share: of the batch's mean loss in the mean loss of all that contribute.
        last: whether the update follows.
    """

    first: int
    share: float
    last: bool


def parts(
    labels: Sequence[NDArray[np.int32]], every: int, class_weights: NDArray[np.float32] | None
) -> list[Part]:
    """Returns the parts that an epoch's batches play; its last update may have fewer of them.

    Means are weighted: a batch counts by its samples or, with class weights, by the sum of
    theirs. So the gradients add up to those of a batch of all samples, as far as the model
    treats each sample by itself, which BatchNorm and dropout do not.

    Args:
        labels: of each batch, int32, shape (N,).
        every: batches an update.
        class_weights: float32, shape (classes,), or None.
    """
    found = []
    for first in range(0, len(labels), every):
        joined = labels[first : first + every]
        sums = np.array([_weight(batch, class_weights) for batch in joined])
        shares = sums / sums.sum()
        found += [Part(first, float(share), False) for share in shares[:-1]]
        found.append(Part(first, float(shares[-1]), True))
    return found


def _weight(labels: NDArray[np.int32], class_weights: NDArray[np.float32] | None) -> float:
    return float(len(labels) if class_weights is None else class_weights[labels].sum(dtype=float))

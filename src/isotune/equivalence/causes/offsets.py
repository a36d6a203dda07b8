"""Outputs that differ by one number a channel: a bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import fits, unraveled
from isotune.equivalence.causes.evidence import Evidence, Pair
from isotune.equivalence.traces.trace import key

FEWEST = 4
"""Number of channels, and of elements in each of most of them, without which nothing is said."""


def other_bias(evidence: Evidence) -> str | None:
    """Finds that outputs differ by a number for each channel, and whether that is the bias."""
    pair = evidence.found()
    if evidence.place.stage != "forward" or pair is None or len(pair.shape) < 2:
        return None
    if not evidence.layers or not all(layer.leaf for layer in evidence.layers):
        return None
    axes = (1, len(pair.shape) - 1)
    means = next((found for axis in axes if (found := _means(pair, axis)) is not None), None)
    if means is None:
        return None
    first, second = evidence.labels
    bias, known = _bias(evidence), np.isfinite(means)
    if bias is not None and len(bias) == len(means):
        for sign, lacking in ((-1.0, second), (1.0, first)):
            if fits(sign * bias[known], means[known], 1.0):
                return f"{lacking} fits a layer whose bias is left out."
    return "It differs by one number for each channel: it fits a bias that differs or is left out."


def _means(pair: Pair, axis: int) -> NDArray[np.float64] | None:
    """Returns by how much each channel differs, NaN for unknown ones; None if that varies."""
    channels, size = unraveled(pair.positions, pair.shape)[axis], pair.shape[axis]
    gap = pair.other - pair.one
    counts = np.bincount(channels, minlength=size)
    if (counts >= 2).sum() < FEWEST or len(channels) < 2 * size:
        return None
    means: NDArray[np.float64] = np.bincount(channels, gap, size) / counts
    if not gap.any() or not fits(pair.one + means[channels], pair.other, pair.between):
        return None
    return means


def _bias(evidence: Evidence) -> NDArray[np.float64] | None:
    """Returns the bias before the step, if it is small enough to be known as a whole."""
    kept = evidence.parameter("bias")
    if kept is not None:
        return kept.astype(np.float64)
    name = f"{evidence.place.path}.bias"
    after, update = evidence.pair(key("state", name)), evidence.pair(key("update", name))
    if after is None or not after.complete:
        return None
    return after.one - (0.0 if update is None else update.one)

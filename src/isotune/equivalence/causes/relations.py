"""Relations between both sides' numbers that say something whatever the layer is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import apart, fits, number, rounded
from isotune.equivalence.causes.evidence import Evidence, Pair
from isotune.equivalence.traces.sampling import Values

FEWEST = 8
"""Number of elements without which nothing is said of their relation."""

SAME = 3e-6
"""Largest relative difference of norms that are taken for the same."""


def not_finite(evidence: Evidence) -> str | None:
    """Finds NaN or infinity on one side alone."""
    pair = evidence.found()
    if pair is None:
        return None
    finite = [bool(np.isfinite(side).all()) for side in (pair.one, pair.other)]
    if finite[0] == finite[1]:
        return None
    return f"It holds NaN or infinity in {evidence.labels[finite.index(False)]} alone."


def stands_still(evidence: Evidence) -> str | None:
    """Finds a parameter that moves on one side only."""
    values = evidence.values(evidence.key)
    if evidence.place.stage != "update" or values is None:
        return None
    still = [each.largest == 0 for each in values]
    if still[0] == still[1]:
        return None
    label = evidence.labels[still.index(True)]
    return f"The parameter does not move in {label}: it fits one that is frozen there alone."


def zero_on_one_side(evidence: Evidence) -> str | None:
    """Finds that one side has nothing but zeros."""
    values = evidence.values(evidence.key)
    if values is None or (values[0].largest == 0) == (values[1].largest == 0):
        return None
    zero = evidence.labels[0 if values[0].largest == 0 else 1]
    return f"It is zero in {zero} alone."


def constant_factor(evidence: Evidence) -> str | None:
    """Finds that one side is the other one times a number."""
    pair = _finite(evidence.found())
    if pair is None:
        return None
    square = float(pair.one @ pair.one)
    factor = float(pair.one @ pair.other) / square if square else 0.0
    if (
        abs(factor) < 1e-6
        or abs(factor - 1) < 1e-6
        or not fits(pair.one * factor, pair.other, pair.between)
    ):
        return None
    first, second = evidence.labels
    return f"All of it in {second} is {number(factor)} times what it is in {first}."


def other_order(evidence: Evidence) -> str | None:
    """Finds the same numbers in another order."""
    pair = _finite(evidence.found())
    if pair is None or pair.between < 1e-2:
        return None
    if pair.complete:
        same = apart(np.sort(pair.one), np.sort(pair.other)) <= SAME
    else:
        values = evidence.values(evidence.key)
        if values is None or evidence.outputs() is not None:
            return None
        one, other = values
        means = abs(one.mean - other.mean) <= SAME * one.norm / max(len(pair.positions), 1) ** 0.5
        same = same_sizes(one, other) and means
    if not same:
        return None
    return "Both sides have the same numbers in another order, such as transposed or flipped."


def same_sizes(one: Values, other: Values) -> bool:
    """Whether norm and largest value are the same, as of numbers in another order."""
    pairs = (one.norm, other.norm), (one.largest, other.largest)
    return all(abs(a - b) <= SAME * max(abs(a), abs(b)) for a, b in pairs)


def low_precision(evidence: Evidence) -> str | None:
    """Finds that one side alone has numbers that all are bfloat16, or all float16."""
    pair = _finite(evidence.found())
    if pair is None or len(pair.positions) < 16:
        return None
    for name, bits in (("bfloat16", 7), ("float16", 10)):
        short = [_has(side, bits) for side in (pair.one, pair.other)]
        if short[0] != short[1]:
            side = evidence.labels[short.index(True)]
            return f"All numbers of {side} fit {name}, those of the other side do not."
    return None


def _has(side: NDArray[np.float64], bits: int) -> bool:
    some = side[side != 0].astype(np.float32)
    return bool(len(np.unique(some)) >= FEWEST and np.array_equal(rounded(some, bits), some))


def _finite(pair: Pair | None) -> Pair | None:
    if pair is None or len(pair.positions) < FEWEST:
        return None
    return pair if np.isfinite(pair.one).all() and np.isfinite(pair.other).all() else None

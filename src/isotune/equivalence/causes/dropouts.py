"""Dropout that drops nothing, something else, or does not scale."""

from __future__ import annotations

import numpy as np

from isotune.equivalence.causes.arithmetic import fits
from isotune.equivalence.causes.evidence import Evidence, Pair

KINDS = ("Dropout", "StochasticDepth", "DropPath")

FEWEST = 16
"""Number of elements without which nothing is said of shares."""


def other_dropout(evidence: Evidence) -> str | None:
    """Finds what differs between the elements that two dropout layers drop."""
    pair = evidence.found()
    if evidence.place.stage != "forward" or pair is None:
        return None
    if not any(kind.startswith(KINDS) for kind in evidence.kinds):
        return None
    some = pair.part((pair.one != 0) | (pair.other != 0))
    dropped = some.one == 0, some.other == 0
    if len(some.positions) < FEWEST:
        return None
    if dropped[0].any() and dropped[1].any():
        return _elsewhere(evidence, some)
    if dropped[0].any() or dropped[1].any():
        return _nothing(evidence, some, int(dropped[1].any()))
    return _unscaled(evidence, some)


def _elsewhere(evidence: Evidence, pair: Pair) -> str | None:
    kept = (pair.one != 0) & (pair.other != 0)
    if kept.any() and not fits(pair.one[kept], pair.other[kept], pair.between):
        return None
    shares = [f"{np.mean(side == 0):.0%}" for side in (pair.one, pair.other)]
    first, second = evidence.labels
    return (
        f"{first} drops {shares[0]} of what either side keeps, {second} {shares[1]}, and not the"
        " same elements: it fits dropout with another seed, step or layer's name."
    )


def _nothing(evidence: Evidence, pair: Pair, drops: int) -> str | None:
    """Says that only one side drops something: that of number `drops`."""
    sides = pair.one, pair.other
    share = float(np.mean(sides[drops] == 0))
    dead, alive = evidence.labels[1 - drops], evidence.labels[drops]
    return f"{dead} drops nothing, while {alive} drops {share:.0%} of the same elements."


def _unscaled(evidence: Evidence, pair: Pair) -> str | None:
    p = evidence.setting("p")
    if not isinstance(p, (int, float)) or not 0 < p < 1:
        return None
    first, second = evidence.labels
    if fits(pair.one * (1 - p), pair.other, pair.between):
        return f"{second} does not multiply what it keeps by 1 / (1 - {p:g})."
    if fits(pair.other * (1 - p), pair.one, pair.between):
        return f"{first} does not multiply what it keeps by 1 / (1 - {p:g})."
    return None

"""Dropout that drops nothing, something else, or does not scale."""

from __future__ import annotations

import numpy as np

from isotune.equivalence.causes.arithmetic import fits
from isotune.equivalence.causes.evidence import Evidence, Pair

KINDS = ("Dropout", "StochasticDepth", "DropPath")

NOTHING = 0.01
"""Largest probability that is taken for none."""

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
        return _more(evidence, some, int(dropped[1].any()))
    return _unscaled(evidence, some)


def _elsewhere(evidence: Evidence, pair: Pair) -> str | None:
    if _kept_ratio(pair) is None:
        return None
    shares = [f"{np.mean(side == 0):.0%}" for side in (pair.one, pair.other)]
    first, second = evidence.labels
    return (
        f"{first} drops {shares[0]} of what either side keeps, {second} {shares[1]}, and not the"
        " same elements: it fits dropout with another seed, step or layer's name."
    )


def _more(evidence: Evidence, pair: Pair, drops: int) -> str | None:
    """Says that side number `drops` drops all that the other one does, and more."""
    ratio = _kept_ratio(pair)
    if ratio is None:
        return None
    share = float(np.mean((pair.one, pair.other)[drops] == 0))
    more, less = evidence.labels[drops], evidence.labels[1 - drops]
    p = evidence.setting("p")
    # Both sides divide what they keep by 1 - p.
    scale = ratio if drops == 0 else 1 / ratio
    rest = 1 - scale * (1 - p) if isinstance(p, (int, float)) and 0 < p < 1 else None
    if rest is not None and abs(rest) < NOTHING:
        return f"{less} drops nothing, while {more} drops {share:.0%} of the same elements."
    text = f"{more} drops {share:.0%} of what {less} keeps, and keeps nothing else"
    return f"{text}: it fits dropout with another probability, or none in {less}."


def _kept_ratio(pair: Pair) -> float | None:
    """Returns by which factor elements that both sides keep differ; None if it is not one."""
    kept = pair.part((pair.one != 0) & (pair.other != 0))
    square = float(kept.other @ kept.other)
    ratio = float(kept.one @ kept.other) / square if square else 0.0
    return ratio if ratio and fits(kept.other * ratio, kept.one, pair.between) else None


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

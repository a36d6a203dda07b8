"""How BatchNorm's running statistics move: momentum's convention, kind of variance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import apart, fits, number
from isotune.equivalence.causes.evidence import Array, Evidence, Pair
from isotune.equivalence.local.whole import input_key
from isotune.equivalence.traces.trace import key
from isotune.interfaces.checkpoint import digest

Wide = NDArray[np.float64]

INITIAL = {"running_mean": 0.0, "running_var": 1.0}
"""Running statistics of a new layer."""

USUAL = 0.1
"""Momentum of a layer that does not say it: PyTorch's default."""


def other_statistics(evidence: Evidence) -> str | None:
    """Finds with which momentum, and of which variance, both sides' statistics fit."""
    path, _, kind = evidence.place.name.rpartition(".")
    pair = evidence.found()
    if evidence.place.stage != "state" or kind not in INITIAL or pair is None:
        return None
    before = _before(evidence, path, kind, pair)
    if before is None:
        return None
    moves = pair.one - before, pair.other - before
    still = [apart(side, before) < 1e-7 for side in (pair.one, pair.other)]
    if still[0] != still[1]:
        return f"The running statistics do not move in {evidence.labels[still.index(True)]}."
    batch = _batch(evidence, path, kind, math.prod(pair.shape))
    if batch is None:
        return _by_ratio(evidence, moves, pair) or _by_variance(evidence, kind, before, pair)
    return _by_batch(evidence, moves, [each[pair.positions] - before for each in batch])


def _before(evidence: Evidence, path: str, kind: str, pair: Pair) -> Wide | None:
    """Returns the statistics before the step, if they are known."""
    name, step = evidence.place.name, evidence.place.step
    earlier = [each for each in evidence.traces[0].steps if step and each.step == step - 1]
    found = earlier[0].values.get(key("state", name)) if earlier else None
    if found is not None and found.shape == pair.shape:
        return found.samples.astype(np.float64)
    if step:
        return None
    kept = None if evidence.local is None else evidence.local.state.get(name)
    if kept is not None and kept.shape == pair.shape:
        return kept.reshape(-1)[pair.positions].astype(np.float64)
    new = np.full(pair.shape, INITIAL[kind], np.float32)
    if evidence.traces[0].start.get(name) != digest({name: new}):
        return None
    return new.reshape(-1)[pair.positions].astype(np.float64)


def _batch(evidence: Evidence, path: str, kind: str, size: int) -> list[Wide] | None:
    """Returns the recorded batch's statistics: for variances, the unbiased and the biased ones."""
    x: Array | None = evidence.whole.get(input_key(path, 0))
    if x is None or x.ndim < 2 or x.shape[1] != size:
        return None
    axes = (0, *range(2, x.ndim))
    if kind == "running_mean":
        return [np.asarray(x.mean(axes, np.float64))]
    return [np.asarray(x.var(axes, np.float64, ddof=ddof)) for ddof in (1, 0)]


def _by_batch(evidence: Evidence, moves: tuple[Wide, Wide], gaps: list[Wide]) -> str | None:
    """Fits each side's move as a share of the gap to the batch's statistics."""
    sides = []
    for label, move in zip(evidence.labels, moves, strict=True):
        shares = [float(gap @ move) / float(gap @ gap) if gap.any() else 0.0 for gap in gaps]
        off = [apart(share * gap, move) for share, gap in zip(shares, gaps, strict=True)]
        best = int(np.argmin(off))
        if off[best] > 1e-4 or (len(off) == 2 and min(off) > 0.3 * max(off)):
            return None
        sides.append((label, shares[best], best))
    (first, one, biased), (second, other, also) = sides
    if biased != also:
        wrong, right = (first, second) if biased else (second, first)
        return (
            f"{wrong} keeps the biased variance of the batch in the running statistics, {right}"
            " the unbiased one."
        )
    if abs(one / other - 1) < 1e-3:
        return None
    return (
        f"The share of the batch in the running statistics (momentum) is {number(one)} in {first}"
        f" and {number(other)} in {second}."
    )


def _by_ratio(evidence: Evidence, moves: tuple[Wide, Wide], pair: Pair) -> str | None:
    """Finds that one side moves by a multiple of the other's move."""
    square = float(moves[0] @ moves[0])
    ratio = float(moves[0] @ moves[1]) / square if square else 0.0
    if not ratio or abs(ratio - 1) < 1e-3 or not fits(moves[0] * ratio, moves[1], pair.between):
        return None
    first, second = evidence.labels
    momentum = evidence.setting("momentum")
    share = momentum if isinstance(momentum, float) and 0 < momentum < 1 else USUAL
    text = f"The running statistics move {number(ratio)} times as far in {second} as in {first}"
    for turned in ((1 - share) / share, share / (1 - share)):
        if abs(ratio / turned - 1) < 1e-3:
            return (
                f"{text}: it fits a momentum of {number(share)} that is the share of the batch on"
                " one side, and of the old statistics on the other."
            )
    return f"{text}: it fits another momentum."


def _by_variance(evidence: Evidence, kind: str, before: Wide, pair: Pair) -> str | None:
    """Finds that the batch's share of one side is (n - 1) / n of the other's."""
    values = evidence.values(key("forward", evidence.place.name.rpartition(".")[0]))
    momentum = evidence.setting("momentum")
    share = momentum if isinstance(momentum, float) and 0 < momentum < 1 else USUAL
    if kind != "running_var" or values is None or len(values[0].shape) < 2:
        return None
    size = math.prod(values[0].shape) // values[0].shape[1]
    rest = (1 - share) * before
    ratios = (pair.other - rest) / (pair.one - rest)
    smaller = (size - 1) / size
    for turned, target in enumerate((smaller, 1 / smaller if size > 1 else math.inf)):
        if np.abs(ratios - target).max() < 0.2 / size:
            right, wrong = evidence.labels[::-1] if turned else evidence.labels
            return (
                f"{wrong} fits the biased variance in the running statistics, {right} the unbiased"
                " one."
            )
    return None

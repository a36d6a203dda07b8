"""Padding: outputs of another size, or that differ at the border alone."""

from __future__ import annotations

import numpy as np

from isotune.equivalence.causes.arithmetic import two, unraveled
from isotune.equivalence.causes.evidence import Evidence, Pair
from isotune.equivalence.traces.trace import key

FEWEST = 8
"""Number of elements at the border, and within, without which nothing is said."""


def other_size(evidence: Evidence) -> str | None:
    """Finds the padding that outputs of different sizes fit."""
    values = evidence.values(key("forward", evidence.place.name))
    if evidence.place.stage != "forward" or values is None:
        return None
    shapes = [each.shape for each in values]
    if shapes[0] == shapes[1] or any(len(shape) != 4 for shape in shapes):
        return None
    first, second = evidence.labels
    sizes = [f"{shape[2]} x {shape[3]}" for shape in shapes]
    text = f"Its output is {sizes[0]} in {first} and {sizes[1]} in {second}"
    kernel = evidence.setting("kernel_size")
    if shapes[0][:2] != shapes[1][:2]:
        return None
    return f"{text}: it fits another padding{'' if kernel is None else ', stride or kernel'}."


def at_the_border(evidence: Evidence) -> str | None:
    """Finds that maps differ along their border alone."""
    pair = evidence.found()
    if evidence.place.stage != "forward" or pair is None or len(pair.shape) != 4:
        return None
    reach = _reach(evidence)
    height, width = pair.shape[2:]
    _, _, rows, columns = unraveled(pair.positions, pair.shape)
    inside = (
        (rows >= reach[0])
        & (rows < height - reach[0])
        & (columns >= reach[1])
        & (columns < width - reach[1])
    )
    within, border = pair.part(inside), pair.part(~inside)
    if min(len(within.positions), len(border.positions)) < FEWEST:
        return None
    if border.between < 1e-4 or within.between > min(1e-5, 0.01 * border.between):
        return None
    return _averages(evidence, border) or (
        f"It differs within {max(reach)} of the border alone: it fits another padding, on another"
        " side or with other values."
    )


def _reach(evidence: Evidence) -> tuple[int, int]:
    """Returns how far from the border padding is seen."""
    kernel, stride = (two(evidence.setting(name), 1) for name in ("kernel_size", "stride"))
    dilation = two(evidence.setting("dilation"), 1)
    rows, columns = (
        max(1, -(-(d * (k - 1)) // s)) for k, s, d in zip(kernel, stride, dilation, strict=True)
    )
    return rows, columns


def _averages(evidence: Evidence, border: Pair) -> str | None:
    """Finds means over a window that count its padding on one side alone."""
    if not any(kind.startswith("AvgPool") for kind in evidence.kinds):
        return None
    kernel = two(evidence.setting("kernel_size"), 0)
    area = kernel[0] * kernel[1]
    some = border.part((border.one != 0) & (border.other != 0))
    if not area or len(some.positions) < FEWEST:
        return None
    ratios = some.other / some.one
    larger = float(np.median(ratios)) > 1
    counts = area / ratios if larger else area * ratios
    if np.abs(counts - np.round(counts)).max() > 1e-3 or np.round(counts).max() > area:
        return None
    counting, leaving = evidence.labels if larger else evidence.labels[::-1]
    return (
        f"{counting} fits averages at the border that count the padding (count_include_pad),"
        f" {leaving} those that do not."
    )

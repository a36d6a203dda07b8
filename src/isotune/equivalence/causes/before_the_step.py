"""What differs before a step computes: start and batch."""

from __future__ import annotations

import numpy as np

from isotune.equivalence.causes.arithmetic import fits, number, unraveled
from isotune.equivalence.causes.evidence import Evidence, Pair
from isotune.equivalence.causes.relations import FEWEST, same_sizes
from isotune.equivalence.traces.trace import key


def swapped_tensors(evidence: Evidence) -> str | None:
    """Finds that a tensor has the start of another one."""
    if evidence.place.stage != "start":
        return None
    name = evidence.place.name
    one, other = (trace.start for trace in evidence.traces)
    if name not in one or name not in other:
        return None
    twins = [each for each in other if each != name and other[each] == one[name]]
    swapped = [each for each in twins if one.get(each) == other[name]]
    first, second = evidence.labels
    if swapped:
        return f"'{name}' and '{swapped[0]}' have each other's values in {second}."
    if twins:
        return f"The values of '{name}' in {first} are those of '{twins[0]}' in {second}."
    return None


def other_batch(evidence: Evidence) -> str | None:
    """Finds which relation the images of both sides have."""
    images = evidence.pair(key("input", "images"))
    if evidence.place.stage not in ("batch", "input") or images is None:
        return None
    if images.between == 0 and evidence.place.stage == "batch":
        return "The images agree, so that it is the labels that differ."
    return _normalization(evidence, images) or _order(evidence)


def _normalization(evidence: Evidence, images: Pair) -> str | None:
    """Finds that each channel is another one scaled and moved."""
    if len(images.shape) != 4 or images.between < 1e-6:
        return None
    channels = unraveled(images.positions, images.shape)[1]
    found = []
    for channel in range(images.shape[1]):
        some = images.part(channels == channel)
        if len(np.unique(some.one)) < FEWEST:
            return None
        x, y = some.one - some.one.mean(), some.other - some.other.mean()
        scale = float(x @ y) / float(x @ x)
        offset = float(some.other.mean() - scale * some.one.mean())
        if not fits(scale * some.one + offset, some.other, images.between):
            return None
        found.append(f"{number(scale)} x {round(offset, 6) + 0.0:+.3g}")
    first, second = evidence.labels
    return (
        f"It fits another mean or deviation in the normalization: by channel, {second} has"
        f" {', '.join(found)} of the x of {first}."
    )


def _order(evidence: Evidence) -> str | None:
    values = evidence.values(key("input", "images"))
    if values is None or not same_sizes(*values):
        return None
    return (
        "Both sides' images have the same numbers in another order: it fits images in another"
        " order, or flipped or moved ones."
    )

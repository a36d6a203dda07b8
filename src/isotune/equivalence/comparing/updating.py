"""What the difference of two updates is beyond that of the gradients they are made of."""

from __future__ import annotations

import math

import numpy as np

from isotune.equivalence.traces.trace import TracedStep, key

SLOT = 1e-4
"""Relative difference of an optimizer's slots that is rounding: a running mean's share 1 - 0.999,
subtracted in float32, has a relative error of up to 2**-25 / 0.001 = 3e-5, and a backend may
subtract in float64."""

UPDATED = 1e-5
"""Relative difference of updates that is rounding: an optimizer rounds some ten times, and corrects
running means by such shares."""

CARRIED = 2.0
"""How many times the relative difference of a gradient's element that of its update may be: it is
once for a rule that is linear, and less for one that is bounded, such as Adam's."""

ROUNDED = 4 * 2.0**-24
"""Share of a parameter's element by which its update may differ: half of an ulp, on both sides, for
the sum with the update and for a decay before it. Parameters are float32 in every precision."""


def clipping(one: TracedStep, other: TracedStep) -> float:
    """Returns the relative difference of the norm of all gradients together, which clips them."""
    norms = [
        math.hypot(*(v.norm for name, v in step.values.items() if name.startswith("gradient/")))
        for step in (one, other)
    ]
    size = max(norms)
    return abs(norms[0] - norms[1]) / size if 0 < size < math.inf else 0.0


def unexplained(one: TracedStep, other: TracedStep, parameter: str, clipped: float) -> float | None:
    """Returns the relative difference of two updates that their gradients do not explain.

    Gradient, update and state of a parameter are sampled at the same places. An element of the
    update may differ by as much as its gradient does, and by the rounding of the parameter to which
    it was added. That holds for an optimizer's first update: later ones depend on its slots, too.

    Args:
        one: The step of one side.
        other: The step of the other side.
        parameter: The parameter's name, of which both have an update.
        clipped: What :func:`clipping` returns.

    Returns:
        The relative difference of the samples or, where they miss it, of the norms; None if a side
        has no gradient or no state of the parameter, or numbers that are not finite.
    """
    names = [key(stage, parameter) for stage in ("gradient", "update", "state")]
    if any(name not in step.values for name in names for step in (one, other)):
        return None
    (g, u, w), (g2, u2, w2) = ([step.values[name] for name in names] for step in (one, other))
    gradient, update, weight = (
        np.maximum(abs(a.samples), abs(b.samples)).astype(np.float64)
        for a, b in ((g, g2), (u, u2), (w, w2))
    )
    apart, moved = (abs(a.samples.astype(np.float64) - b.samples) for a, b in ((u, u2), (g, g2)))
    size, of_gradient = (float(np.linalg.norm(each)) for each in (update, gradient))
    if not math.isfinite(size + of_gradient):
        return None
    if size == 0:
        return 0.0
    # A decay may almost cancel a gradient: its update is small then, but not what it differs by.
    slopes = np.divide(update, gradient, out=np.zeros_like(update), where=gradient > 0)
    slopes = np.maximum(slopes, _quotient(size, of_gradient))
    explained = CARRIED * (slopes * moved + clipped * update) + ROUNDED * weight
    left = float(np.linalg.norm(np.maximum(apart - explained, 0))) / size
    norms = abs(u.norm - u2.norm) - ROUNDED * max(w.norm, w2.norm)
    carried = CARRIED * (_quotient(abs(g.norm - g2.norm), max(g.norm, g2.norm)) + clipped)
    return max(left, _quotient(norms, max(u.norm, u2.norm)) - carried - left)


def _quotient(one: float, other: float) -> float:
    return one / other if other > 0 else 0.0

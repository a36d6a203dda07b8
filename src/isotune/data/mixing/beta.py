"""Draws from the symmetric Beta distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

DIGITS = 6
"""Decimal digits of a draw: mathematical libraries may differ in the last bits of a cosine."""


def symmetric_beta(rng: np.random.Generator, alpha: float) -> float:
    """Draws a number in [0, 1] from Beta(`alpha`, `alpha`), with two calls of ``rng.random()``.

    ``Generator.beta`` may change with NumPy's version. This is exact for any alpha above 0 and
    rejects nothing: with U and V uniform, ``sqrt(2 a (U**(-1 / a) - 1)) cos(2 pi V)`` is Student's
    t with 2 a degrees of freedom (Bailey, "Polar generation of random variates with the
    t-distribution", 1994), and for such a T, ``(1 + T / sqrt(2 a + T**2)) / 2`` is Beta(a, a)
    (Devroye, "Non-Uniform Random Variate Generation", 1986, chapter IX.3).

    Args:
        rng: A random stream.
        alpha: Both parameters, above 0.
    """
    power = rng.random() ** (1 / alpha)  # U**(1 / a), which underflows to 0 where U**(-1 / a) fails
    cosine = math.cos(2 * math.pi * rng.random())
    rest = cosine * cosine * (1 - power)
    return round((1 + cosine * math.sqrt((1 - power) / (power + rest))) / 2, DIGITS)

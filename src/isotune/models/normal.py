"""Uniform and normal numbers whose bits do not depend on versions of NumPy or on the processor.

NumPy promises the raw words of a bit generator only (NEP 19), and its logarithms differ in the
last bit between processors. Here everything after the words is addition, multiplication,
division and square roots, which IEEE 754 rounds in one way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

# Algorithm AS 241, PPND16: M. J. Wichura, "The percentage points of the normal distribution",
# Applied Statistics 37 (1988). Numerators and denominators, highest power first.
# fmt: off
_CENTER = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853,
     45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
     133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)
_TAIL = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
     1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055,
     4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
     0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494,
     2.05319162663775882187, 1.0),
)
_FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386,
     0.026532189526576123093, 0.29656057182850489123, 1.7848265399172913358,
     5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
     7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
     0.59983220655588793769, 1.0),
)
# fmt: on
_LN_2 = 0.6931471805599453
_SQRT_HALF = 0.7071067811865476


def uniform(generator: np.random.Generator, size: int) -> Doubles:
    """Returns `size` doubles between 0 and 1, both excluded: odd multiples of 2**-53."""
    words = generator.bit_generator.random_raw(size)
    words >>= np.uint64(12)
    values: Doubles = words.astype(np.float64)
    values += 0.5
    values *= 2.0**-52
    return values


def quantile(p: Doubles) -> Doubles:
    """Returns the values below which a standard normal number falls with probability `p`.

    Args:
        p: Probabilities, excluding 0 and 1, shape (N,).
    """
    q = p - 0.5
    r = 0.180625 - q * q
    values = q * _ratio(_CENTER, r)
    outer = np.flatnonzero(np.abs(q) > 0.425)
    tail = np.minimum(p[outer], 1.0 - p[outer])
    r = np.sqrt(-_log(tail))
    size = _ratio(_TAIL, r - 1.6)
    far = np.flatnonzero(r > 5.0)
    if far.size:  # about one number in 3.6e10
        size[far] = _ratio(_FAR_TAIL, r[far] - 5.0)
    values[outer] = np.copysign(size, q[outer])
    return values


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], r: Doubles) -> Doubles:
    top, bottom = (_polynomial(part, r) for part in coefficients)
    return top / bottom


def _polynomial(coefficients: tuple[float, ...], r: Doubles) -> Doubles:
    value = np.full_like(r, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= r
        value += coefficient
    return value


def _log(x: Doubles) -> Doubles:
    """Returns natural logarithms: ln m + e ln 2 with x = m 2**e, ln m = 2 artanh((m-1)/(m+1))."""
    m: Doubles
    m, e = np.frexp(x)
    small = m < _SQRT_HALF
    m = np.where(small, 2.0 * m, m)
    e = np.where(small, e - 1, e)
    s: Doubles = (m - 1.0) / (m + 1.0)
    # |s| < 0.172: the first term left out, s**23 / 23, is below 2**-60.
    series = _polynomial(tuple(1.0 / k for k in range(21, 0, -2)), s * s)
    return 2.0 * s * series + e * _LN_2

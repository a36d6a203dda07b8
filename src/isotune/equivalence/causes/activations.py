"""Which activation function an output fits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import fits, fitting
from isotune.equivalence.causes.evidence import MOST, Evidence, Pair

Array = NDArray[np.float64]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -700, 700))))


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "no activation": lambda x: x,
    "ReLU": lambda x: np.maximum(x, 0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "leaky ReLU": lambda x: np.where(x > 0, x, 0.01 * x),
    "GELU": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "GELU approximated with tanh": _gelu_tanh,
    "GELU approximated with a sigmoid": lambda x: x * _sigmoid(1.702 * x),
    "SiLU": lambda x: x * _sigmoid(x),
    "Hardswish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "sigmoid": _sigmoid,
    "Hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "tanh": np.tanh,
    "Mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
}
"""Activation functions by the names of PyTorch's classes, with its formulas."""

SMOOTH = ("GELU", "GELU approximated with tanh", "GELU approximated with a sigmoid", "SiLU", "Mish")
"""Those that grow on positive numbers, and differ there: an input is known by the output."""

_GRID = np.linspace(0, 12, 240_001)


def other_activation(evidence: Evidence) -> str | None:
    """Finds that both sides fit different activation functions."""
    pair = evidence.found()
    if evidence.place.stage != "forward" or pair is None or pair.between == 0:
        return None
    names = _of_input(evidence, pair) or _left_out(pair) or _of_outputs(evidence, pair)
    if names is None:
        return None
    one, other = names
    first, second = evidence.labels
    return f"It fits {one} in {first} and {other} in {second}."


def _of_input(evidence: Evidence, pair: Pair) -> tuple[str, str] | None:
    """Compares with every function of the recorded input."""
    inputs = evidence.inputs()
    if evidence.outputs() is None or len(inputs) != 1 or inputs[0].shape != pair.shape:
        return None
    x = inputs[0].reshape(-1)[pair.positions[:MOST]].astype(np.float64)
    known = {name: function(x) for name, function in FUNCTIONS.items()}
    one = fitting(known, pair.one, pair.between)
    other = fitting(known, pair.other, pair.between)
    return None if one is None or other is None or one == other else (one, other)


def _left_out(pair: Pair) -> tuple[str, str] | None:
    """Compares each side's output with every function of the other's."""
    plain = "no activation"
    for name, function in FUNCTIONS.items():
        if name == plain:
            continue
        if _bends(pair.other) and fits(function(pair.other), pair.one, pair.between):
            return name, plain
        if _bends(pair.one) and fits(function(pair.one), pair.other, pair.between):
            return plain, name
    return None


def _bends(x: Array) -> bool:
    # Of positive numbers alone one could not tell the functions apart.
    return bool((x < 0).any() and (x > 0).any())


def _of_outputs(evidence: Evidence, pair: Pair) -> tuple[str, str] | None:
    """Recovers positive inputs from one side's output, and compares the other's with them."""
    kinds = {kind.lower() for kind in evidence.kinds}
    if not kinds & {"gelu", "silu", "mish", "gelutanh"}:
        return None
    positive = (pair.one > 0.1) & (pair.other > 0.1) & (pair.one < 10)
    some = pair.part(positive)
    if len(some.positions) < 8:
        return None
    tables = {name: FUNCTIONS[name](_GRID) for name in SMOOTH}
    found = []
    for name, table in tables.items():
        x = np.interp(some.one, table, _GRID)
        others = {each: FUNCTIONS[each](x) for each in SMOOTH if each != name}
        other = fitting(others, some.other, some.between)
        if other is not None:
            found.append((name, other))
    return found[0] if len(found) == 1 else None

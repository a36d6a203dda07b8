"""What elements that flip at a kink make of a gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from isotune.equivalence.traces.sampling import Values
from isotune.interfaces.tracer import Layer

UNLUCKY = 2.0
"""How many times a usual element a flipped one may be."""

RARE = 1e-6
"""How few flips of a layer's elements are to be expected that none is taken into account."""

MOST = 0.25
"""Largest relative difference that is taken for flips where no yardstick shows any."""

SMOOTH = frozenset({"GELU", "SiLU", "Sigmoid", "Tanh", "Softplus", "Mish", "ELU"})
"""Kinds of activation functions without a kink."""

KINKED = frozenset(
    {
        *("ReLU", "ReLU6", "LeakyReLU", "PReLU", "Hardswish", "Hardsigmoid", "Hardtanh"),
        *("MaxPool2d", "AdaptiveMaxPool2d"),
    }
)
"""Kinds of layers with a kink."""


def may_flip(layers: Iterable[Layer]) -> bool:
    """Whether a model of these layers may have a kink.

    It has none if it has smooth activation functions as layers, and none with a kink. Of a model
    without any, nothing is known: it may call functions that are no layers.
    """
    kinds = {layer.kind for layer in layers}
    return bool(kinds & KINKED) or not kinds & SMOOTH


class Flips:
    """What flipped elements may make of gradients, as the backward pass goes on.

    Where an activation function or a maximum has a kink, its slope jumps. An element flips if it is
    within its rounding of the kink: of `size` elements of a usual layer, ``size * noise`` do, with
    the relative difference `noise` of the layer's output. A gradient's norm is made up of about
    ``1 / share`` elements, where ``share`` is the sum of their fourth powers over the squared sum
    of their squares; one that flips changes the gradient by the root of the share.

    Args:
        may_flip: Whether the model may have a kink.
    """

    def __init__(self, may_flip: bool) -> None:
        self._may_flip = may_flip
        self._passed: list[tuple[str, float, float]] = []
        self._largest = self._expected = 0.0

    @property
    def allowed(self) -> float:
        """Largest relative difference of a gradient so far that may be flips."""
        return _allowed(self._largest, self._expected)

    def within(self, path: str) -> float:
        """Returns the same for the inputs of a container, by flips within it alone."""
        start = f"{path}." if path else ""
        parts = [(share, expected) for at, share, expected in self._passed if at.startswith(start)]
        largest = max((share for share, _ in parts), default=0.0)
        return _allowed(largest, sum(expected for _, expected in parts))

    def passed(self, path: str, gradient: Values, noise: float) -> None:
        """Takes the gradient of a layer's output, in the order of the backward pass.

        Args:
            path: The layer's path.
            gradient: The gradient.
            noise: Relative difference of the output.
        """
        if not self._may_flip:
            return
        size = math.prod(gradient.shape)
        squares = np.square(gradient.samples, dtype=np.float64)
        fourth, total = float(squares @ squares), float(squares.sum())
        if size * noise < RARE or fourth == 0 or not math.isfinite(fourth):
            return
        share = fourth / total**2 * squares.size / size
        self._passed.append((path, share, size * noise * share))
        self._largest = max(self._largest, share)
        self._expected += size * noise * share


def _allowed(largest: float, expected: float) -> float:
    return min(UNLUCKY * math.sqrt(largest + expected), MOST)

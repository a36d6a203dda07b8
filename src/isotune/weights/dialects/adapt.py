"""Reshapes tensors that are equivalent to the backbone's but stored in another shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.backbone import BackboneEntry

Arrays = dict[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]


def adapt(state: Arrays, expected: Shapes, entry: BackboneEntry) -> tuple[Arrays, list[str]]:
    """Returns `state` in the backbone's shapes where that is lossless.

    - A linear layer stored as a convolution over its whole input becomes a matrix, and a
      convolution that classifies, stored as a matrix, a convolution.
    - A vector of factors of maps (LayerScale) gets axes for rows and columns.
    - Missing biases of all convolutions (MindSpore's default) become zeros.
    - A first convolution for gray images becomes one for RGB, with a third of it per channel.

    Other differences remain, and :func:`isotune.weights.match.match` reports them.

    Args:
        state: arrays by canonical name.
        expected: the backbone's shapes by canonical name.
        entry: the backbone.

    Returns:
        The tensors, and a sentence for each change of values or of the number of tensors.
    """
    adapted = {name: _matrix(name, value, expected, entry) for name, value in state.items()}
    notes = [*_add_biases(adapted, expected), *_spread_gray(adapted, expected)]
    ordered = {name: adapted[name] for name in expected if name in adapted}
    return {**ordered, **adapted}, notes


def _matrix(name: str, value: NDArray[Any], expected: Shapes, entry: BackboneEntry) -> NDArray[Any]:
    if name == f"{entry.classifier}.weight":
        return _classifier(value, entry)
    shape = expected.get(name, ())
    if value.ndim == 1 and shape == (*value.shape, 1, 1):
        return value.reshape(shape)
    if value.ndim != 4:
        return value
    # Both layouts have channels before rows and columns.
    return value.reshape(shape) if len(shape) == 2 and _same(value.shape, shape) else value


def _classifier(value: NDArray[Any], entry: BackboneEntry) -> NDArray[Any]:
    if entry.convolutional and value.ndim == 2:
        return value[:, :, None, None]
    if not entry.convolutional and value.shape[2:] == (1, 1):
        return value.reshape(value.shape[:2])
    return value


def _same(convolution: tuple[int, ...], matrix: tuple[int, ...]) -> bool:
    return (convolution[0], int(np.prod(convolution[1:]))) == matrix


def _add_biases(state: Arrays, expected: Shapes) -> list[str]:
    biases = [
        name
        for name in expected
        if name.endswith(".bias") and len(expected.get(f"{name[:-4]}weight", ())) == 4
    ]
    have_weights = all(f"{name[:-4]}weight" in state for name in biases)
    if not biases or not have_weights or any(name in state for name in biases):
        return []
    for name in biases:
        state[name] = np.zeros(expected[name], np.float32)
    return [
        f"its {len(biases)} convolutions have no biases; they were set to zero, which is equivalent"
    ]


def _spread_gray(state: Arrays, expected: Shapes) -> list[str]:
    first = next((name for name, shape in expected.items() if len(shape) == 4), None)
    if first is None or first not in state or state[first].dtype.kind != "f":
        return []
    outputs, inputs, *kernel = expected[first]
    gray = state[first]
    if inputs != 3 or gray.shape != (outputs, 1, *kernel):
        return []
    third = (gray / np.asarray(3, gray.dtype)).astype(gray.dtype)
    state[first] = np.repeat(third, 3, axis=1)
    return [
        f"its first convolution '{first}' is for gray images; a third of it was used for each"
        " color, which is equivalent on gray images normalized alike in all channels"
    ]

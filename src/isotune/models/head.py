"""The head of an experiment: its path, and its values at the start or from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_never

from isotune.errors import RunError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.head import HeadValues, HiddenValues, LinearValues, linear_paths
from isotune.models.initial import linear_values
from isotune.spec.head import HeadSpec, LinearHeadSpec, MLPHeadSpec


def head_path(spec: HeadSpec, entry: BackboneEntry) -> str:
    """Returns the canonical path of the module that the head replaces.

    A linear head replaces the last linear layer, an MLP head the whole classifier.
    """
    match spec:
        case LinearHeadSpec():
            return entry.classifier
        case MLPHeadSpec():
            return entry.classifier_block
        case _:
            assert_never(spec)


def hidden_widths(spec: HeadSpec) -> tuple[int, ...]:
    """Returns the widths of a head's hidden layers."""
    match spec:
        case LinearHeadSpec():
            return ()
        case MLPHeadSpec():
            return spec.hidden
        case _:
            assert_never(spec)


def new_head(
    spec: HeadSpec, seed: int, in_features: int, classes: int, convolutional: bool = False
) -> HeadValues:
    """Returns a head with its initial values: the same bytes for every backend.

    Args:
        spec: The head.
        seed: The experiment's seed.
        in_features: Width of the features.
        classes: Number of classes of the dataset.
        convolutional: Whether the head classifies each position of feature maps.
    """
    widths = (in_features, *hidden_widths(spec), outputs_of(spec, classes))
    names = linear_paths("head", len(widths) - 2)
    *hidden, output = [
        linear_values(seed, name, inputs, width)
        for name, (inputs, width) in zip(names, pairwise(widths), strict=True)
    ]
    return _with_layers(spec, hidden, output, convolutional)


def outputs_of(spec: HeadSpec, classes: int) -> int:
    """Returns the number of logits of a head."""
    return 1 if spec.outputs == "single" else classes


def auxiliary_head(seed: int, path: str, in_features: int, outputs: int) -> HeadValues:
    """Returns the new last layer of an auxiliary classifier, at `path`."""
    return HeadValues(linear_values(seed, f"auxiliary/{path}", in_features, outputs))


def saved_head(spec: HeadSpec, path: str, state: Mapping[str, NDArray[Any]]) -> HeadValues:
    """Returns the head at `path` of a saved model.

    Raises:
        RunError: `state` has no such head, or its shapes are not those of linear layers.
    """
    names = linear_paths(path, len(hidden_widths(spec)))
    layers = [_saved_layer(name, state) for name in names]
    for before, layer in pairwise(layers):
        if layer.weight.shape[1] != len(before.bias):
            raise RunError(
                f"a layer of the head '{path}' takes {layer.weight.shape[1]} values, but the one"
                f" before it returns {len(before.bias)}."
            )
    *hidden, output = layers
    return _with_layers(spec, hidden, output, state[f"{names[0]}.weight"].ndim == 4)


def _saved_layer(name: str, state: Mapping[str, NDArray[Any]]) -> LinearValues:
    """Returns a linear layer, which may be a 1 x 1 convolution."""
    try:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    except KeyError as error:
        raise RunError(f"there is no tensor {error}, part of the head.") from None
    if weight.shape[2:] not in ((), (1, 1)) or bias.shape != weight.shape[:1] or weight.ndim < 2:
        raise RunError(
            f"'{name}.weight' and '{name}.bias' have shapes {weight.shape} and {bias.shape}, which"
            " are not those of a linear layer."
        )
    flat = weight.reshape(weight.shape[:2])
    return LinearValues(np.asarray(flat, np.float32), np.asarray(bias, np.float32))


def _with_layers(
    spec: HeadSpec, hidden: list[LinearValues], output: LinearValues, convolutional: bool
) -> HeadValues:
    match spec:
        case LinearHeadSpec():
            return HeadValues(output, (), convolutional)
        case MLPHeadSpec():
            layers = (HiddenValues(linear, spec.activation, spec.dropout) for linear in hidden)
            return HeadValues(output, tuple(layers), convolutional)
        case _:
            assert_never(spec)

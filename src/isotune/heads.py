"""The head of an experiment: where it goes, and its values at the start or from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from isotune.errors import RunError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.head import HeadValues, HiddenValues, LinearValues, linear_paths
from isotune.spec.head import HeadSpec, LinearHeadSpec
from isotune.weights.initial import linear_values


def head_path(spec: HeadSpec, entry: BackboneEntry) -> str:
    """Returns the canonical path of what the head replaces.

    A linear head takes the place of the last linear layer, an MLP that of the whole classifier.
    """
    return entry.classifier if isinstance(spec, LinearHeadSpec) else entry.classifier_block


def is_under(path: str, name: str) -> bool:
    """Tells whether the canonical name of a tensor belongs to what is at `path`."""
    return name.startswith(f"{path}.")


def new_head(spec: HeadSpec, seed: int, in_features: int, classes: int) -> HeadValues:
    """Returns a head with its initial values: the same bytes for every backend.

    Args:
        spec: which head.
        seed: the experiment's seed.
        in_features: width of the features.
        classes: how many the dataset has.
    """
    outputs = 1 if spec.outputs == "single" else classes
    if isinstance(spec, LinearHeadSpec):
        return HeadValues(linear_values(seed, "head", in_features, outputs))
    widths = (in_features, *spec.hidden, outputs)
    names = linear_paths("head", len(spec.hidden))
    *hidden, output = [
        linear_values(seed, name, inputs, width)
        for name, (inputs, width) in zip(names, pairwise(widths), strict=True)
    ]
    return _mlp(spec, hidden, output)


def saved_head(spec: HeadSpec, path: str, state: Mapping[str, NDArray[Any]]) -> HeadValues:
    """Returns the head at `path` of a saved model.

    Raises:
        RunError: `state` has no such head.
    """
    depth = 0 if isinstance(spec, LinearHeadSpec) else len(spec.hidden)
    try:
        *hidden, output = [
            LinearValues(state[f"{name}.weight"], state[f"{name}.bias"])
            for name in linear_paths(path, depth)
        ]
    except KeyError as error:
        raise RunError(f"the checkpoint's model has no tensor {error}, part of its head.") from None
    return _mlp(spec, hidden, output)


def _mlp(spec: HeadSpec, hidden: list[LinearValues], output: LinearValues) -> HeadValues:
    if isinstance(spec, LinearHeadSpec):
        return HeadValues(output)
    layers = (HiddenValues(linear, spec.activation, spec.dropout) for linear in hidden)
    return HeadValues(output, tuple(layers))

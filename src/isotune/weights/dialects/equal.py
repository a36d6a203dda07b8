"""Computes a backbone's tensors from those of another implementation, where logits stay equal."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

PART = re.compile(r"(.*)\[(\d)\]")
PARTS = 3
"""Number of parts of a tensor: projections to queries, keys and values."""

KEYS = 1
"""Index of the projection to keys. Its bias adds the same to all scores of a query, which a softmax
ignores, so that some models have none."""

LARGE_EPSILON = re.compile(
    r"efficientnet_(b[567]|v2_\w|lite0)|mobilenet_v3_\w+|googlenet|inception_v3|maxvit_t"
)
"""Backbones whose BatchNorms add 1e-3 to variances, instead of PyTorch's 1e-5."""


def joined(state: Arrays) -> Arrays:
    """Returns `state` with the parts of a tensor, ``name[0]`` and so on, joined along axis 0.

    Parts stay as they are if one is missing, except a bias of the keys, which becomes zeros.
    """
    parts: dict[str, dict[int, NDArray[Any]]] = {}
    for name, value in state.items():
        if found := PART.fullmatch(name):
            parts.setdefault(found[1], {})[int(found[2])] = value
    whole = {}
    for name, values in parts.items():
        if name.endswith("bias") and KEYS not in values and 0 in values:
            values[KEYS] = np.zeros_like(values[0])
        if len(values) == PARTS and len({value.shape[1:] for value in values.values()}) == 1:
            whole[name] = np.concatenate([values[n] for n in range(PARTS)])
    rest = {
        name: value
        for name, value in state.items()
        if not ((found := PART.fullmatch(name)) and found[1] in whole)
    }
    return {**rest, **whole}


def batch_norm_epsilon(backbone: str) -> float:
    """Returns what the BatchNorms of a backbone add to variances."""
    return 1e-3 if LARGE_EPSILON.fullmatch(backbone) else 1e-5


def rescaled(state: Arrays, epsilon: float, backbone: str) -> tuple[Arrays, list[str]]:
    """Returns `state` with BatchNorm weights that make up for another epsilon.

    ``weight / sqrt(variance + epsilon)`` stays equal, so that logits do in evaluation.

    Args:
        state: arrays by canonical name.
        epsilon: what the BatchNorms of the weights' own model add to variances.
        backbone: the backbone's name.

    Returns:
        The arrays, and a sentence if any have changed.
    """
    own, scaled = batch_norm_epsilon(backbone), dict(state)
    if own == epsilon:
        return scaled, []
    for name, variance in state.items():
        path, dot, last = name.rpartition(".")
        weight = state.get(f"{path}{dot}weight")
        if last != "running_var" or weight is None or weight.shape != variance.shape:
            continue
        wide = np.float64
        factor = np.sqrt((variance.astype(wide) + own) / (variance.astype(wide) + epsilon))
        scaled[f"{path}{dot}weight"] = (weight * factor).astype(weight.dtype)
    note = (
        f"its BatchNorms add {epsilon:g} to variances, this one's {own:g}: their weights were"
        " rescaled, which is equivalent in evaluation"
    )
    return scaled, [note]

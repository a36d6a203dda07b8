"""Attention rollout (Abnar and Zuidema, "Quantifying attention flow in transformers", 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.explaining.geometry import Floats, rows_and_columns
from isotune.explaining.method import Method
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.explainer import Explainer


@dataclass(frozen=True)
class AttentionLayer:
    """A layer of multi-head self-attention, as PyTorch's ``nn.MultiheadAttention`` has it.

    Attributes:
        path: Its canonical path.
        weight: Projection to queries, keys and values: float32, shape (3 width, width).
        bias: float32, shape (3 width,).
        heads: Number of heads.
    """

    path: str
    weight: Floats
    bias: Floats
    heads: int

    def attention(self, inputs: Floats) -> Floats:
        """Returns the attention of an image's places to each other, the mean over all heads.

        It is ``softmax(queries keys' / sqrt(width of a head))`` (Vaswani et al., "Attention is all
        you need", 2017, equation 1).

        Args:
            inputs: Input of the layer for one image: float32, shape (places, width).

        Returns:
            float32, shape (places, places); each row sums to 1.
        """
        places, width = inputs.shape
        projected = inputs @ self.weight[: 2 * width].T + self.bias[: 2 * width]
        parts = projected.reshape(places, 2, self.heads, width // self.heads)
        queries, keys = parts.transpose(1, 2, 0, 3)
        scores = queries @ keys.transpose(0, 2, 1) / np.float32(math.sqrt(width // self.heads))
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mean: Floats = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=0)
        return mean


@dataclass(frozen=True)
class AttentionRollout(Method):
    """How much attention the class token pays to each place of an image, through all layers.

    Attributes:
        layers: The attention layers, from the images to the logits.
    """

    layers: tuple[AttentionLayer, ...]

    name = "attention rollout"
    stage = None
    explains_classes = False

    def heat(
        self,
        explainer: Explainer,
        model: Any,
        batch: DeviceBatch,
        score_weights: Floats,
        size: tuple[int, int],
    ) -> NDArray[np.float64]:
        """Returns how much attention each place gets, whatever the scores.

        Raises:
            BackendError: The model lacks one of the layers.
        """
        inputs = explainer.inputs(model, [layer.path for layer in self.layers], batch)
        rows = []
        for image in range(batch.size):  # one at a time: matrices of all heads are large
            pairs = zip(self.layers, inputs, strict=True)
            rows.append(rollout([layer.attention(each[image]) for layer, each in pairs]))
        grid = rows_and_columns(len(rows[0]), *size)
        assert grid, "a vision transformer divides images into squares"
        return np.stack(rows).reshape(-1, *grid)


def rollout(attentions: Sequence[Floats]) -> NDArray[np.float64]:
    """Returns how much the class token attends to each place of an image, through all layers.

    Half of a layer's output is its shortcut and half its attention, ``0.5 A + 0.5 I``. The product
    of these over all layers, the last one on the left, is how information flows. The rows of each
    factor sum to 1, and so do those of the product.

    Args:
        attentions: The attention of each layer, in order: float32, shape (places, places). The
            first place is the class token's.

    Returns:
        float64, shape (places - 1,): the row of the class token, without its own place.
    """
    row = np.zeros(len(attentions[0]))
    row[0] = 1
    for matrix in reversed(attentions):
        row = 0.5 * (row @ matrix) + 0.5 * row
    return row[1:]

"""Backbone: the one model this backend has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.backbone import BackboneEntry, Backbones

Array = NDArray[np.float32]


@dataclass
class Linear:
    """A linear layer: ``x @ weight.T + bias``. Shapes: (outputs, inputs) and (outputs,)."""

    weight: Array
    bias: Array


class LinearNet:
    """Flattens images and applies one linear layer, ``fc``, unless that was taken out."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.fc: Linear | None = Linear(
            np.zeros((outputs, inputs), np.float32), np.zeros(outputs, np.float32)
        )
        self.frozen: frozenset[str] = frozenset()

    def parameters(self) -> dict[str, Array]:
        """Returns the parameters by canonical name; they are updated in place."""
        return {"fc.weight": self.fc.weight, "fc.bias": self.fc.bias} if self.fc else {}

    def __call__(self, images: Array) -> Array:
        features = images.reshape(len(images), -1)
        return features @ self.fc.weight.T + self.fc.bias if self.fc else features

    def gradients(self, images: Array, logits_gradient: Array) -> dict[str, Array]:
        """Returns the gradient of each parameter, given that of the logits."""
        weight = logits_gradient.T @ images.reshape(len(images), -1)
        return {"fc.weight": weight, "fc.bias": logits_gradient.sum(0)}


class NumpyBackbones(Backbones):
    """Builds ``linear``, for 3 x 8 x 8 images."""

    def names(self) -> tuple[str, ...]:
        return ("linear",)

    def build(self, entry: BackboneEntry) -> LinearNet:
        return LinearNet(inputs=3 * 8 * 8, outputs=3)

    def adopt(self, model: LinearNet) -> LinearNet:
        return model

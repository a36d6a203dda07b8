"""Explainer: outputs, inputs and gradients of the layers at a path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isotune.errors import BackendError
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.explainer import Explainer
from numpy_backend.backbone import Net
from numpy_backend.head import layers_at
from numpy_backend.layers import Array


class NumpyExplainer(Explainer):
    """Layers keep what their gradients need from the last forward pass: this one."""

    def maps_and_gradients(
        self, model: Net, path: str, batch: DeviceBatch, score_weights: Array
    ) -> tuple[Array, Array]:
        part = _part(model, path)
        outputs = _outputs(model, batch.images)
        gradient = score_weights
        for name in reversed(list(model.layers)):
            if name == part[-1]:
                break
            layer = model.layers[name]
            gradient = layer.backward(gradient)
            layer.gradients = {}
        return outputs[part[-1]], np.array(gradient)

    def inputs(self, model: Net, paths: Sequence[str], batch: DeviceBatch) -> list[Array]:
        first = [_part(model, path)[0] for path in paths]
        outputs, before = _outputs(model, batch.images), dict[str, Array]()
        previous = batch.images
        for name, output in outputs.items():
            before[name], previous = previous, output
        return [before[name] for name in first]


def _part(model: Net, path: str) -> list[str]:
    """Returns the names of the layers at `path` and under it, in order."""
    if names := list(layers_at(model, path)):
        return names
    raise BackendError(f"the model has no part '{path}'; its parts are: {', '.join(model.layers)}.")


def _outputs(model: Net, images: Array) -> dict[str, Array]:
    """Returns the output of each layer in evaluation mode."""
    modes = {name: layer.training for name, layer in model.layers.items()}
    outputs = dict[str, Array]()
    for name, layer in model.layers.items():
        layer.training = False
        images = outputs[name] = layer.forward(images)
        layer.training = modes[name]
    return outputs

"""Broken copies of the example backend: values from within a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isotune.interfaces.dataset import DeviceBatch
from numpy_backend.backbone import Net
from numpy_backend.explainer import NumpyExplainer
from numpy_backend.layers import Layer

MAPS_AND_GRADIENTS = NumpyExplainer.maps_and_gradients


def explains_in_training_mode(patch: pytest.MonkeyPatch) -> None:
    forward = {kind: kind.forward for kind in Layer.__subclasses__()}

    def explained(self: Any, model: Net, *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            for kind, evaluate in forward.items():

                def training(layer: Any, x: Any, evaluate: Any = evaluate) -> Any:
                    layer.training = True
                    return evaluate(layer, x)

                inner.setattr(kind, "forward", training)
            return MAPS_AND_GRADIENTS(self, model, *arguments)

    patch.setattr(NumpyExplainer, "maps_and_gradients", explained)


def explains_the_sum_of_all_scores(patch: pytest.MonkeyPatch) -> None:
    def explained(self: Any, model: Net, path: str, batch: DeviceBatch, weights: Any) -> Any:
        return MAPS_AND_GRADIENTS(self, model, path, batch, np.ones_like(weights))

    patch.setattr(NumpyExplainer, "maps_and_gradients", explained)


def explains_the_mean_score_of_a_batch(patch: pytest.MonkeyPatch) -> None:
    def explained(self: Any, model: Net, path: str, batch: DeviceBatch, weights: Any) -> Any:
        return MAPS_AND_GRADIENTS(self, model, path, batch, weights / np.float32(batch.size))

    patch.setattr(NumpyExplainer, "maps_and_gradients", explained)


def returns_outputs_for_inputs(patch: pytest.MonkeyPatch) -> None:
    def outputs(self: Any, model: Net, paths: Any, batch: DeviceBatch) -> Any:
        weights = np.ones((batch.size, 3), np.float32)
        return [MAPS_AND_GRADIENTS(self, model, path, batch, weights)[0] for path in paths]

    patch.setattr(NumpyExplainer, "inputs", outputs)

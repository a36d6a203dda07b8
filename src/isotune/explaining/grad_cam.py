"""Grad-CAM (Selvaraju et al., "Grad-CAM: Visual explanations from deep networks", 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import SpecError
from isotune.explaining.geometry import Floats, by_place
from isotune.explaining.method import Method
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.explainer import Explainer


@dataclass(frozen=True)
class GradCAM(Method):
    """What speaks for a score in the output of one part of the model.

    Attributes:
        stage: Name of the stage, or the path.
        path: Canonical path of the part.
    """

    stage: str
    path: str

    name = "Grad-CAM"
    explains_classes = True

    def heat(
        self,
        explainer: Explainer,
        model: Any,
        batch: DeviceBatch,
        score_weights: Floats,
        size: tuple[int, int],
    ) -> NDArray[np.float64]:
        """Returns how much each place speaks for the scores: equations 1 and 2 of the paper.

        The weight of a channel is the mean of its gradients over all places. Of the weighted sum
        of the channels, what is positive remains.

        Raises:
            SpecError: The output has no places, or none of them has an effect on the scores.
            BackendError: There is no such part.
        """
        maps, gradients = explainer.maps_and_gradients(model, self.path, batch, score_weights)
        values, slopes = by_place(maps, *size), by_place(gradients, *size)
        if values is None or slopes is None:
            raise SpecError(
                f"stage: the output of '{self.stage}' has the shape {maps.shape[1:]} for each"
                " image, without rows and columns; choose a stage before it."
            )
        if gradients.any() and not slopes.any():
            raise SpecError(
                f"stage: after '{self.stage}' only the class token counts, and no place of the"
                " image; choose a stage before it."
            )
        weights = slopes.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        heat: NDArray[np.float64] = np.maximum((values * weights).sum(axis=3), 0)
        return heat

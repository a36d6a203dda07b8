"""What a method of explanation computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.explaining.geometry import Floats
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.explainer import Explainer
from isotune.spec.loss import LossName


class Method(ABC):
    """A method of explanation.

    Attributes:
        name: Name of the method, for people.
        stage: Stage of the backbone that it looks at, or the path of its part; None for all.
        explains_classes: Whether it explains one class or another, rather than no class at all.
    """

    name: str
    stage: str | None
    explains_classes: bool

    @abstractmethod
    def heat(
        self,
        explainer: Explainer,
        model: Any,
        batch: DeviceBatch,
        score_weights: Floats,
        size: tuple[int, int],
    ) -> NDArray[np.float64]:
        """Returns how much each place of the images counts.

        Args:
            explainer: The explainer of the model's backend.
            model: The native model.
            batch: The images, normalized on the device.
            score_weights: float32, shape (N, outputs). The score of an image, which is explained,
                is the sum of its logits times these.
            size: Height and width of the images, in pixels.

        Returns:
            float64, shape (N, rows, columns), at least 0, not scaled.

        Raises:
            SpecError: The stage has no places, or none of them has an effect on the scores.
            BackendError: There is no such part.
        """


def score_weights(labels: NDArray[np.int64], outputs: int, loss: LossName) -> Floats:
    """Returns what makes a score of logits for the class that is explained: its own logit.

    A single output after ``binary_cross_entropy`` is the logit of the second of two classes: the
    score of the first one is minus that.

    Args:
        labels: The class to explain for each image: int64, shape (N,).
        outputs: Number of outputs of the model.
        loss: The loss that the model was trained with.

    Returns:
        float32, shape (N, outputs).
    """
    if outputs == 1 and loss == "binary_cross_entropy":
        return np.where(labels == 1, 1, -1).astype(np.float32)[:, None]
    return np.eye(outputs, dtype=np.float32)[labels]

"""Explainer: the core computes explanations; a backend returns values from within its model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import BackendError, nearest
from isotune.interfaces.dataset import DeviceBatch


class Explainer(ABC):
    """Reads outputs, inputs and gradients of a model's parts.

    The model computes in evaluation mode and in fp32. Afterwards it is as it was: parameters,
    BatchNorm statistics, modes, which parameters train, and no gradients or hooks are left.
    """

    @abstractmethod
    def maps_and_gradients(
        self, model: Any, path: str, batch: DeviceBatch, score_weights: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns the output of a part, and the gradients of scores with respect to it.

        Args:
            model: The native model.
            path: Canonical path of the part, such as ``layer4``.
            batch: The images; labels are not used.
            score_weights: float32, shape (N, outputs). The score of an image is the sum of its
                logits times these.

        Returns:
            The output and the gradients, both float32 and of the output's shape (N, ...).

        Raises:
            BackendError: There is no such part, evaluation does not use it, or its output is not
                one tensor.
        """

    @abstractmethod
    def inputs(
        self, model: Any, paths: Sequence[str], batch: DeviceBatch
    ) -> list[NDArray[np.float32]]:
        """Returns the first input of each of some parts: float32, shape (N, ...).

        Args:
            model: The native model.
            paths: Canonical paths of the parts.
            batch: The images; labels are not used.

        Raises:
            BackendError: There is no such part, or evaluation does not use it.
        """


def missing_part(
    model: object, path: str, paths: Iterable[str], outermost: Iterable[str]
) -> BackendError:
    """Returns the error about a path at which a model has no part.

    Args:
        model: The native model.
        path: The path.
        paths: The paths of all its parts.
        outermost: The names of its outermost parts.
    """
    return BackendError(
        f"{type(model).__name__} has no part '{path}'.{nearest(path, paths)}"
        f" Its outermost parts are: {', '.join(outermost) or 'none'}."
    )


def unused_part(model: object, path: str) -> BackendError:
    """Returns the error about a part that evaluation does not use."""
    return BackendError(f"'{path}' of {type(model).__name__} has no part in an evaluation.")


def no_tensor(model: object, path: str, output: object) -> BackendError:
    """Returns the error about a part whose output is not one tensor."""
    return BackendError(
        f"'{path}' of {type(model).__name__} returns a {type(output).__name__}; choose a part that"
        " returns one tensor."
    )

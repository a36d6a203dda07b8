"""Checkpoint: the core owns the files; a backend exports its state as named arrays."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.trainer import Trainer

State = dict[str, NDArray[Any]]
"""Arrays by canonical name, of any memory layout: a copy is made fastest in that of its tensor.

A model's names and layouts are torchvision's, without
:data:`isotune.interfaces.names.NO_STATE`. An optimizer's are ``PARAMETER/SLOT``, all float32,
for the slots of its spec (:mod:`isotune.spec.optimizer`). With scaled float16 gradients there are
also the scalars ``grad_scaler/scale`` and ``grad_scaler/growth_tracker``, which a backend without
such a scaler ignores.
"""

GRAD_SCALER = "grad_scaler"
"""Takes the place of a parameter's name for the scaler of float16 gradients."""


def not_finite(state: Mapping[str, NDArray[Any]]) -> str | None:
    """Returns the name of the first array with a NaN or an infinity, or None without any."""
    return next((name for name, value in state.items() if not np.isfinite(value).all()), None)


def digest(state: Mapping[str, NDArray[Any]]) -> str:
    """Returns the SHA-256 of arrays and their names, in any order, as hexadecimal digits."""
    result = hashlib.sha256()
    for name, value in sorted(state.items()):
        result.update(json.dumps([name, str(value.dtype), value.shape]).encode())
        result.update(np.ascontiguousarray(value).data)
    return result.hexdigest()


class StateAdapter(ABC):
    """Moves state between a backend's native objects and NumPy."""

    @abstractmethod
    def model_shapes(self, model: Any) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of :meth:`export_model`'s arrays, in its order, without copying."""

    @abstractmethod
    def export_model(self, model: Any) -> State:
        """Returns copies of all parameters and BatchNorm statistics."""

    @abstractmethod
    def import_model(self, model: Any, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets them all. The core has checked that names and shapes are those of the model."""

    @abstractmethod
    def export_optimizer(self, trainer: Trainer) -> State:
        """Returns copies of the optimizer's state; empty before the first step."""

    @abstractmethod
    def import_optimizer(self, trainer: Trainer, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the optimizer's state, after ``trainer.freeze``."""

    @abstractmethod
    def export_average(self, trainer: Trainer) -> State:
        """Returns copies of the averages, by the canonical names of the tensors.

        They are those of all tensors that training has changed, and perhaps of others; empty before
        the first step and without ``TrainingPlan.averages``.
        """

    @abstractmethod
    def import_average(self, trainer: Trainer, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the averages of the tensors that training changes, after ``trainer.freeze``.

        A tensor that is not in `state` starts from its value; names of other models' tensors
        and of those that training does not change are ignored.
        """

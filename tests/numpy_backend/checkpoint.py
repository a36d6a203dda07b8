"""Checkpoint: the names are the canonical ones already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.checkpoint import Checkpoints, State
from isotune.interfaces.trainer import Trainer
from numpy_backend.backbone import LinearNet
from numpy_backend.trainer import NumpyTrainer, Slots


class NumpyCheckpoints(Checkpoints):
    """Copies arrays out and in."""

    def model_shapes(self, model: LinearNet) -> dict[str, tuple[int, ...]]:
        return {name: parameter.shape for name, parameter in model.parameters().items()}

    def export_model(self, model: LinearNet) -> State:
        return {name: parameter.copy() for name, parameter in model.parameters().items()}

    def import_model(self, model: LinearNet, state: Mapping[str, NDArray[Any]]) -> None:
        for name, parameter in model.parameters().items():
            parameter[...] = state[name]

    def export_optimizer(self, trainer: Trainer) -> State:
        return {
            f"{name}/{slot}": value.copy()
            for name, slots in own(trainer).slots.items()
            for slot, value in slots.items()
        }

    def import_optimizer(self, trainer: Trainer, state: Mapping[str, NDArray[Any]]) -> None:
        slots: dict[str, Slots] = {}
        for key, value in state.items():
            name, slot = key.split("/")
            slots.setdefault(name, {})[slot] = np.array(value, dtype=np.float32)
        own(trainer).slots = slots


def own(trainer: Trainer) -> NumpyTrainer:
    assert isinstance(trainer, NumpyTrainer), "a backend is only handed its own trainers"
    return trainer

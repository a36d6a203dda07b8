"""Checkpoint: the names are the canonical ones already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.checkpoint import State, StateAdapter
from isotune.interfaces.trainer import Trainer
from numpy_backend.backbone import Net
from numpy_backend.optimizer import Slots
from numpy_backend.trainer import NumpyTrainer


class NumpyStateAdapter(StateAdapter):
    """Copies arrays out and in."""

    def model_shapes(self, model: Net) -> dict[str, tuple[int, ...]]:
        return {name: value.shape for name, value in model.state()}

    def export_model(self, model: Net) -> State:
        return {name: value.copy() for name, value in model.state()}

    def import_model(self, model: Net, state: Mapping[str, NDArray[Any]]) -> None:
        for name, value in model.state():
            value[...] = state[name]

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

    def export_average(self, trainer: Trainer) -> State:
        return {name: value.copy() for name, value in own(trainer).averages.items()}

    def import_average(self, trainer: Trainer, state: Mapping[str, NDArray[Any]]) -> None:
        own(trainer).start_averages()
        for name, average in own(trainer).averages.items():
            average[...] = state.get(name, average)


def own(trainer: Trainer) -> NumpyTrainer:
    """Returns the trainer as what it is."""
    assert isinstance(trainer, NumpyTrainer), "a backend is only handed its own trainers"
    return trainer
